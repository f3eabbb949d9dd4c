// Package syscalls has the system calls: the table that names all of an
// architecture, and their handlers, one file for each family.
//
// A handler takes its arguments from kernel.Args, copies in what they point to
// once, calls the kernel or the file system, and copies the result out. Errors are
// unix.Errno or kernel's restart codes. See package kernel for how a handler waits.
package syscalls
