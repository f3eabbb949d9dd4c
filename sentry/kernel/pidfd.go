package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/wait"
)

// A PIDFile is the file behind a pidfd, pidfd_open(2).
type PIDFile struct {
	vfs.FileDefaults
	task   *Task
	thread bool // PIDFD_THREAD
}

// pidfdThread is PIDFD_THREAD.
const pidfdThread = unix.O_EXCL

// NewPIDFile returns an open file that refers to the process of o, or to the
// thread o.
func (t *Task) NewPIDFile(o *Task, thread, nonblock bool) *vfs.File {
	flags := uint32(unix.O_RDWR)
	if nonblock {
		flags |= unix.O_NONBLOCK
	}
	if thread {
		flags |= pidfdThread
	}
	return t.k.NewAnonFile(t.Credentials(), "[pidfd]", flags, &PIDFile{task: o, thread: thread})
}

// newPIDFD makes a descriptor for the child n.
func (t *Task) newPIDFD(n *Task, thread bool) (int32, error) {
	f := t.NewPIDFile(n, thread, false)
	fd, err := t.fds.Load().Add(f, 0, true, t.tg.limits.Get(unix.RLIMIT_NOFILE).Cur)
	if err != nil {
		f.DecRef()
	}
	return fd, err
}

// Task returns the thread that the pidfd refers to: a process's leader.
func (p *PIDFile) Task() *Task { return p.task }

// Thread reports whether the pidfd refers to one thread.
func (p *PIDFile) Thread() bool { return p.thread }

// Readiness implements vfs.FileOps: readable once the process has ended.
func (p *PIDFile) Readiness(mask wait.Events) wait.Events {
	k := p.task.k
	k.mu.RLock()
	defer k.mu.RUnlock()
	var r wait.Events
	if p.task.tg.zombie || p.thread && p.task.exited {
		r = wait.In | wait.RdNorm
	}
	if p.task.tg.reaped {
		r |= wait.Hup
	}
	return r & (mask | wait.Hup)
}

// Register implements vfs.FileOps.
func (p *PIDFile) Register(e *wait.Entry, mask wait.Events) { p.task.tg.pidWatch.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (p *PIDFile) Unregister(e *wait.Entry) { p.task.tg.pidWatch.Unregister(e) }

// A ProcessDirectory is the file of a directory of procfs that is open.
type ProcessDirectory interface {
	// Process returns the task whose number the directory has in the root of procfs; nil if it is
	// another directory.
	Process() *Task
}

// SignalFileOf is PIDFileOf for pidfd_send_signal(2), which takes /proc/PID as well.
func (t *Task) SignalFileOf(fd int32) (*PIDFile, error) {
	f := t.FDTable().Get(fd)
	if f == nil {
		return nil, unix.EBADF
	}
	defer f.DecRef()
	if d, ok := f.Ops().(ProcessDirectory); ok && d.Process() != nil {
		return &PIDFile{task: d.Process()}, nil
	}
	return pidFile(f)
}

// PIDFileOf returns what the pidfd fd refers to. EBADF if it is none.
func (t *Task) PIDFileOf(fd int32) (*PIDFile, error) {
	f := t.FDTable().Get(fd)
	if f == nil {
		return nil, unix.EBADF
	}
	defer f.DecRef()
	return pidFile(f)
}

func pidFile(f *vfs.File) (*PIDFile, error) {
	p, ok := f.Ops().(*PIDFile)
	if !ok {
		return nil, unix.EBADF
	}
	return p, nil
}
