package gofer

import "golang.org/x/sys/unix"

// operation says what an operation is called and what serves it. A function
// that serves returns a descriptor to donate, or -1, and 0 or the errno of the
// reply; it encodes the rest of the reply to w.rep.
type operation struct {
	name  string
	serve func(w *worker, d *decoder) (fd int, e unix.Errno)
}

var ops = [numOps]operation{
	opAttach:      {"attach", (*worker).attach},
	opWalk:        {"walk", (*worker).walk},
	opGetattr:     {"getattr", (*worker).getattr},
	opReaddir:     {"readdir", (*worker).readdir},
	opOpen:        {"open", (*worker).open},
	opCreate:      {"create", (*worker).create},
	opMkdir:       {"mkdir", (*worker).mkdir},
	opSymlink:     {"symlink", (*worker).symlink},
	opLink:        {"link", (*worker).link},
	opMknod:       {"mknod", (*worker).mknod},
	opUnlink:      {"unlink", (*worker).unlink},
	opRename:      {"rename", (*worker).rename},
	opSetattr:     {"setattr", (*worker).setattr},
	opReadlink:    {"readlink", (*worker).readlink},
	opStatfs:      {"statfs", (*worker).statfs},
	opSync:        {"sync", (*worker).sync},
	opFallocate:   {"fallocate", (*worker).fallocate},
	opGetxattr:    {"getxattr", (*worker).getxattr},
	opSetxattr:    {"setxattr", (*worker).setxattr},
	opListxattr:   {"listxattr", (*worker).listxattr},
	opRemovexattr: {"removexattr", (*worker).removexattr},
	opRelease:     {"release", (*worker).release},
	opConnect:     {"connect", (*worker).connect},
	opTmpfile:     {"tmpfile", (*worker).tmpfile},
}
