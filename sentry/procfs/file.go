package procfs

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// A text is a file's content in the making, for who reads it.
type text struct {
	buf []byte
	ctx *vfs.Context
}

// cgroup is the reader's control group.
func (w *text) cgroup(o *object) *kernel.Cgroup {
	if w.ctx != nil {
		if t, ok := w.ctx.Task.(*kernel.Task); ok {
			return t.ThreadGroup().Cgroup()
		}
	}
	return o.fs.k.RootCgroup()
}

// printf adds formatted text.
func (w *text) printf(format string, args ...any) { w.buf = fmt.Appendf(w.buf, format, args...) }

// add adds text as it is.
func (w *text) add(s string) { w.buf = append(w.buf, s...) }

// A file is a regular file.
type file struct {
	object
	vfs.NotDirectory
	vfs.NotSymlink
}

// Open implements vfs.InodeOps.
func (f *file) Open(ctx *vfs.Context, vf *vfs.File) (vfs.FileOps, error) {
	if err := f.check(ctx); err != nil {
		return nil, err
	}
	if f.entry.open != nil {
		return f.entry.open(&f.object, ctx, vf)
	}
	return &textFile{o: &f.object}, nil
}

// A textFile is an open file whose content is made as it is read.
type textFile struct {
	vfs.FileDefaults
	o *object

	mu   sync.Mutex
	text text
	made bool
}

// maxStore is the largest write that a file takes.
const maxStore = 4096

// Read implements vfs.FileOps. A read from the beginning makes the content anew.
func (f *textFile) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, off int64, _ uint32) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off == 0 || !f.made {
		if t := f.o.task; t != nil && t.ThreadGroup().Reaped() {
			return 0, unix.ESRCH
		}
		f.text.buf, f.text.ctx = f.text.buf[:0], ctx
		if f.o.entry.text != nil {
			f.o.entry.text(f.o, &f.text)
		}
		f.made = true
	}
	if off >= int64(len(f.text.buf)) {
		return 0, nil
	}
	n, err := dst.CopyOut(f.text.buf[off:])
	if n > 0 {
		err = nil
	}
	return n, err
}

// Write implements vfs.FileOps. Each write is a whole new content.
func (f *textFile) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, off int64, _ uint32) (int, error) {
	if f.o.entry.store == nil {
		return 0, unix.EIO
	}
	if f.o.entry.once && off != 0 {
		return 0, unix.EINVAL
	}
	if src.Len() > maxStore {
		return 0, unix.EINVAL
	}
	buf := make([]byte, src.Len())
	n, err := src.CopyIn(buf)
	if err != nil {
		return 0, err
	}
	if err := f.o.entry.store(f.o, ctx, string(buf[:n])); err != nil {
		return 0, err
	}
	return n, nil
}

// Seek implements vfs.FileOps.
func (f *textFile) Seek(_ *vfs.Context, file *vfs.File, off int64, whence int) (int64, error) {
	return vfs.SeekSized(file, off, whence, 0)
}
