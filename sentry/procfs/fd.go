package procfs

import (
	"strconv"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// file returns the task's file at descriptor name, with a reference.
func (o *object) file(name string) (*vfs.File, error) {
	fd, err := strconv.ParseInt(name, 10, 32)
	if err != nil || fd < 0 || strconv.FormatInt(fd, 10) != name {
		return nil, unix.ENOENT
	}
	fds := o.task.FDTable()
	if fds == nil {
		return nil, unix.ENOENT
	}
	f := fds.GetPath(int32(fd))
	if f == nil {
		return nil, unix.ENOENT
	}
	return f, nil
}

// fdEntry is a link in /proc/PID/fd; its name is the descriptor.
func fdEntry(name string, f *vfs.File) *entry {
	e := &entry{name: name}
	if f.Readable() || f.IsPath() {
		e.mode |= 0o500
	}
	if f.Writable() {
		e.mode |= 0o300
	}
	e.follow = func(o *object, _ *vfs.Context) (vfs.Path, error) {
		f, err := o.file(name)
		if err != nil {
			return vfs.Path{}, err
		}
		defer f.DecRef()
		p := f.Path()
		p.IncRef()
		return p, nil
	}
	e.link = func(o *object, ctx *vfs.Context) (string, error) { return o.linkTo(ctx, e.follow) }
	return e
}

func lookupFD(o *object, _ *vfs.Context, name string) (*vfs.Inode, error) {
	f, err := o.file(name)
	if err != nil {
		return nil, err
	}
	defer f.DecRef()
	n, _ := strconv.Atoi(name)
	return o.make(o.fs, fdEntry(name, f), o.Ino()*64+uint64(n)+1<<50), nil
}

func eachFD(o *object, _ *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
	fds := o.task.FDTable()
	if fds == nil {
		return
	}
	typ := uint8(unix.DT_LNK)
	if o.entry.name == "fdinfo" {
		typ = unix.DT_REG
	}
	fds.Each(func(fd int32, _ *vfs.File) bool {
		if int64(fd) < pos {
			return true
		}
		return emit(strconv.Itoa(int(fd)), o.Ino()*64+uint64(fd)+1<<50, typ, int64(fd)+1)
	})
}

// An fdInfo is a FileOps that adds lines of its own to /proc/PID/fdinfo/N
// (eventfd, epoll, pidfd, ...).
type fdInfo interface {
	// FDInfo returns the lines.
	FDInfo() string
}

func lookupFDInfo(o *object, _ *vfs.Context, name string) (*vfs.Inode, error) {
	f, err := o.file(name)
	if err != nil {
		return nil, err
	}
	f.DecRef()
	n, _ := strconv.Atoi(name)
	e := &entry{name: name, mode: 0o444, checked: true, text: func(o *object, w *text) {
		f, err := o.file(name)
		if err != nil {
			return
		}
		defer f.DecRef()
		flags := f.Flags()
		if on, _ := o.task.FDTable().Cloexec(int32(n)); on {
			flags |= unix.O_CLOEXEC
		}
		w.printf("pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n", f.Pos(), flags, f.Path().Mount.ID(), f.Inode().Ino())
		if info, ok := f.Ops().(fdInfo); ok {
			w.add(info.FDInfo())
		}
	}}
	return o.make(o.fs, e, o.Ino()*64+uint64(n)+1<<50), nil
}
