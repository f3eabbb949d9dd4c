package ptrace

import (
	"runtime"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// control is the control thread: the tracer of all thread group leaders.
func (p *Platform) control() {
	// The thread is not given back to the runtime: the kernel would kill the
	// tracees of a thread that ends, so it must do so only when p is closed.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	for f := range p.requests {
		f()
	}
}

// onControl runs f on the control thread.
func (p *Platform) onControl(f func()) {
	finished := make(chan struct{})
	p.requests <- func() {
		defer close(finished)
		f()
	}
	<-finished
}

// fork clones the stub process whose leader is pid. It runs on the control
// thread, which becomes the tracer of the new one.
func (p *Platform) fork(pid int) (int, error) {
	// CLONE_PTRACE makes the child a tracee from its beginning, with the same
	// options. Its exit signal is 0: the sentry gets no SIGCHLD.
	child, err := call(pid, &p.base, unix.SYS_CLONE,
		unix.CLONE_PARENT|unix.CLONE_FILES|unix.CLONE_PTRACE, 0, 0, 0, 0)
	if err != nil {
		return 0, err
	}
	for {
		ws, err := wait(int(child))
		if err != nil {
			return 0, unix.ENOMEM // killed before it ran
		}
		if stopEvent(ws) == unix.PTRACE_EVENT_STOP {
			return int(child), nil
		}
		if err := resume(unix.PTRACE_CONT, int(child)); err != nil {
			reap(int(child))
			return 0, unix.ENOMEM
		}
	}
}

// newThread makes a thread in the process whose leader is pid. It waits in the
// stub page, untraced. It runs on the control thread.
func (p *Platform) newThread(pid int) (int, error) {
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_THREAD | unix.CLONE_SYSVSEM | unix.CLONE_UNTRACED
	tid, err := inject(pid, &p.base, stubThread, stubThreadEnd, unix.SYS_CLONE, flags, 0, 0, 0, 0)
	return int(tid), err
}

// hostError turns an error of this package into what the interface promises.
func hostError(err error) error {
	if isDead(err) {
		return unix.ENOMEM
	}
	return err
}

// injectBase returns the registers for an injected call in a thread whose own
// registers are r: the segment bases stay.
func (p *Platform) injectBase(r *arch.Registers) arch.Registers {
	b := p.base
	b.Fs_base, b.Gs_base = r.Fs_base, r.Gs_base
	return b
}
