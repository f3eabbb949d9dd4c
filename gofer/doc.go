// Package gofer is the file server of a container, its wire protocol and the
// client that the sentry uses.
//
// One gofer process serves one container. It holds the descriptors of the
// container's trees (its root file system and each bind mount) and is the only
// process that looks names up on the host. The sentry reaches it through a
// [Client]: metadata travels in messages over shared memory, data never does;
// the gofer donates descriptors of regular files, and the sentry reads, writes
// and maps those itself.
//
// The sentry is trusted less than the gofer. Whatever bytes it puts into the
// shared memory or the sockets, the worst that it gets is an errno or a closed
// connection: each request is copied out of shared memory once before it is
// looked at, names are single components that are resolved by a directory
// descriptor with O_NOFOLLOW, and only regular files are ever opened for
// reading or writing. The client copies and checks replies in the same way.
//
// PROTOCOL.md, beside this file, describes the frames.
package gofer
