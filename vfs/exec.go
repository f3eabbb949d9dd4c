package vfs

import "golang.org/x/sys/unix"

// OpenExec opens the program at p, whose references it takes over, for execve(2):
// the right to execute it is needed, not that to read it. EACCES also if it is not
// a regular file or its mount is noexec; ELOOP for a symbolic link. Who executes it keeps writers away by
// Inode.DenyWrite.
func (ctx *Context) OpenExec(p Path) (*File, error) {
	in := p.Inode()
	err := error(unix.EACCES)
	if in.IsSymlink() {
		err = unix.ELOOP
	}
	if in.IsRegular() && !p.Mount.NoExec() {
		err = in.Permission(ctx, MayExec)
	}
	if err != nil {
		p.DecRef()
		return nil, err
	}
	return ctx.openFile(p, unix.O_RDONLY, true)
}
