// Package podman tests runsc below Podman: each case is a script that is run with runc and
// with runsc as the runtime, and both must say the same. Some run as root, some as an ordinary
// user.
//
// All of it happens in namespaces of its own (mount, network, pid), so that of Podman's bridges,
// mounts, processes and files in /run nothing can stay on the host.
//
// It needs root and Debian's packages podman, runc, busybox-static, uidmap, slirp4netns,
// catatonit, netavark, aardvark-dns and iproute2.
package podman
