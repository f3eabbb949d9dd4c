package kernel

import (
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/sentry/loader"
	"casemate/sentry/mm"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// An execFile is an open program, from which nobody may write meanwhile. It is the
// loader's File, and is kept by the tasks that run it as /proc/PID/exe.
type execFile struct {
	file *vfs.File
	ctx  *vfs.Context // of the task that loads it; not used later
	refs atomic.Int32
}

// openExec opens the program at path, which begins at at, to be executed by ctx.
// walk are flags of vfs's Walk.
func openExec(ctx *vfs.Context, at vfs.Start, path string, walk uint32) (*execFile, error) {
	p, err := ctx.Walk(at, path, walk)
	if err != nil {
		return nil, err
	}
	f, err := ctx.OpenExec(p)
	if err != nil {
		return nil, err
	}
	if err := f.Inode().DenyWrite(); err != nil {
		f.DecRef()
		return nil, err
	}
	e := &execFile{file: f, ctx: ctx}
	e.refs.Store(1)
	return e, nil
}

// ReadAt implements loader.File.
func (e *execFile) ReadAt(p []byte, off int64) (int, error) {
	seq := usermem.Kernel(p)
	n, err := e.file.Pread(e.ctx, &seq, off, 0)
	if err == nil && n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// IncRef takes a reference. e may be nil.
func (e *execFile) IncRef() {
	if e != nil {
		e.refs.Add(1)
	}
}

// DecRef implements loader.File. e may be nil.
func (e *execFile) DecRef() {
	if e != nil && e.refs.Add(-1) == 0 {
		e.file.Inode().AllowWrite()
		e.file.DecRef()
	}
}

// newMemory is the address space that a program is loaded into.
type newMemory struct {
	*mm.View
	k      *Kernel
	mm     *mm.MemoryManager
	ctx    *vfs.Context
	limits mm.Limits
}

var _ loader.Memory = (*newMemory)(nil)

// Map implements loader.Memory.
func (n *newMemory) Map(m loader.Mapping) (uint64, error) {
	o := mm.MapOptions{
		Addr: m.Addr, Length: m.Length, Prot: m.Prot, Flags: m.Flags, Offset: m.Offset,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
		Limits:  n.limits,
	}
	if m.File != nil {
		f := m.File.(*execFile).file
		mappable, err := f.Ops().Mmap(n.ctx, f, m.Prot, m.Flags)
		if err != nil {
			return 0, err
		}
		o.File, o.Mappable = f, mappable
	}
	return n.mm.Map(nil, o)
}

// Unmap implements loader.Memory.
func (n *newMemory) Unmap(addr, length uint64) error { return n.mm.Unmap(nil, addr, length) }

// MapVDSO implements loader.Memory.
func (n *newMemory) MapVDSO() (uint64, error) {
	if n.k.mapVDSO == nil {
		return 0, nil
	}
	return n.k.mapVDSO(n.mm)
}

// Executable returns the program that the task runs, with a reference; nil if there
// is none.
func (t *Task) Executable() *vfs.File {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	if t.exe == nil {
		return nil
	}
	t.exe.file.IncRef()
	return t.exe.file
}

// Image returns what execve(2) has loaded, nil if nothing. It must not be changed.
func (t *Task) Image() *loader.Image { return t.image.Load() }

// MMLimits returns the resource limits and the privilege that the memory manager
// checks requests of the task against.
func (t *Task) MMLimits() mm.Limits {
	l := t.tg.limits
	l.mu.Lock()
	defer l.mu.Unlock()
	return mm.Limits{
		AS:      l.l[unix.RLIMIT_AS].Cur,
		Data:    l.l[unix.RLIMIT_DATA].Cur,
		Stack:   l.l[unix.RLIMIT_STACK].Cur,
		Memlock: l.l[unix.RLIMIT_MEMLOCK].Cur,
		IPCLock: t.HasCap(unix.CAP_IPC_LOCK),
	}
}

// setRegisters sets the registers as a new program finds them.
func (t *Task) setRegisters(image *loader.Image) {
	st := t.state
	initRegisters(st, image.Entry, image.SP)
	st.Full = true
}

var _ platform.Handler = (*Task)(nil)
