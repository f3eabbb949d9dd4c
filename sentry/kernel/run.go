package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/sentry/clock"
)

// HandleSyscall is the platform's upcall for a system call.
func (t *Task) HandleSyscall(c platform.Context) platform.Disposition {
	t.cpu.userToSystem(clock.Monotonic())
	t.settle()
	nr, args := t.state.Syscall()
	t.sysNr = nr
	ret, err := t.syscall(nr, args)
	if err != nil {
		errno := ToErrno(err)
		if errno >= ErrRestartSys && errno <= ErrRestartBlock {
			t.restart = errno
			errno = unix.EINTR
		}
		ret = uint64(-int64(errno))
	}
	t.state.SetReturn(ret)
	return t.leave()
}

// syscall dispatches a system call.
func (t *Task) syscall(nr uint64, args Args) (uint64, error) {
	if t.seccomp.Load() != nil {
		if ret, err, done := t.seccompCheck(nr, args); done {
			return ret, err
		}
	}
	if t.k.strace.Load() {
		return t.traced(nr, args)
	}
	return t.invoke(nr, args)
}

// invoke calls the handler.
func (t *Task) invoke(nr uint64, args Args) (uint64, error) {
	if nr < MaxSyscall {
		if e := &t.k.table.entries[nr]; e.Fn != nil {
			return e.Fn(t, args)
		}
	}
	t.k.absent(nr)
	return 0, unix.ENOSYS
}

// HandleFault is the platform's upcall for a processor exception.
func (t *Task) HandleFault(c platform.Context, f platform.Fault) platform.Disposition {
	t.cpu.userToSystem(clock.Monotonic())
	t.settle()
	t.restart = 0
	t.trapNo, t.trapError, t.trapAddr = f.TrapNo, f.ErrorCode, f.Addr
	if f.Access {
		info := t.resolveFault(c, &f)
		if info == nil {
			return t.leave()
		}
		t.forceSignal(info)
		return t.leave()
	}
	code := f.Code
	if f.Signal == int(unix.SIGSEGV) {
		code = SIKernel
		f.Addr = 0
	}
	t.forceSignal(faultInfo(f.Signal, code, &f))
	return t.leave()
}

// HandleInterrupt is the platform's upcall when the task has work to do, or for no
// reason.
func (t *Task) HandleInterrupt(c platform.Context) platform.Disposition {
	t.cpu.userToSystem(clock.Monotonic())
	t.settle()
	t.cameUp()
	return t.leave()
}

// HandleKill is the platform's upcall when the host process of the task is gone
// during another upcall: the whole process dies as if by SIGKILL.
func (t *Task) HandleKill(platform.Context) {
	t.tg.sigMu.Lock()
	t.tg.beginExitLocked(WaitSignaled(int32(unix.SIGKILL)))
	t.tg.sigMu.Unlock()
}

// HandleDeath is the platform's upcall when the host thread of the task is gone:
// the whole process dies as if by SIGKILL.
func (t *Task) HandleDeath(c platform.Context) {
	t.HandleKill(c)
	t.exit()
	c.Release()
}

// leave ends an upcall: it does what work is pending, and says how the task goes
// on.
func (t *Task) leave() platform.Disposition {
	if t.work.Load() != 0 || t.restart != 0 || t.hasSaved {
		if d := t.leaveSlow(); d != platform.Resume {
			return d
		}
	}
	t.cpu.systemToUser(clock.Monotonic())
	return platform.Resume
}

func (t *Task) leaveSlow() platform.Disposition {
	for {
		w := t.work.Load()
		if w&workExit != 0 {
			t.exit()
			return platform.Exit
		}
		if w&workNotify != 0 {
			t.notifyContinued()
			continue
		}
		if !t.state.Full {
			t.cpu.leaveSystem(clock.Monotonic())
			return platform.ResumeFull
		}
		if w&workStop != 0 {
			t.stop()
			continue
		}
		if w&workFreeze != 0 {
			t.freeze()
			continue
		}
		if w&workSignal != 0 {
			if t.deliverOne() {
				continue
			}
		}
		if t.work.Load() != 0 {
			continue
		}
		if t.restart != 0 {
			t.restartSyscall()
		}
		if t.hasSaved {
			t.hasSaved = false
			t.setMask(t.savedMask)
			continue
		}
		return platform.Resume
	}
}

// restartSyscall makes an interrupted call run again; no handler runs before it.
func (t *Task) restartSyscall() {
	nr := t.sysNr
	if t.restart == ErrRestartBlock {
		nr = unix.SYS_RESTART_SYSCALL
	}
	t.restart = 0
	restartSyscall(t.state, nr)
}
