package kernel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/loan"
	"casemate/sentry/clock"
	"casemate/sentry/loader"
	"casemate/sentry/mm"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A Task is a thread of an application. It is passive: the platform calls it with
// what the application does (it is a platform.Handler), and during a call it is
// the only one to change what is its own.
type Task struct {
	k  *Kernel
	tg *ThreadGroup // never changes

	// The machine.
	ctx     platform.Context
	state   *platform.State
	started atomic.Bool

	// Blocking.
	work              atomic.Uint32 // workSignal, ...
	waker             waker
	entry             wait.Entry
	timer             clock.Timer
	blocked           atomic.Bool
	upcalls           atomic.Uint32 // interrupts served, for Membarrier
	voluntarySwitches atomic.Int64

	// The task's own, changed by itself only; the pointers are atomic so that
	// others can look.
	mm      atomic.Pointer[mm.MemoryManager]
	fs      *vfs.Context
	fds     atomic.Pointer[vfs.FDTable]
	cred    atomic.Pointer[cred.Credentials]
	ns      atomic.Pointer[Namespaces]
	mountNS atomic.Pointer[vfs.MountNamespace] // fs.MountNS
	image   atomic.Pointer[loader.Image]
	comm    atomic.Pointer[string]
	seccomp atomic.Pointer[seccompState]

	sysNr                       uint64       // number of the current or last system call
	restart                     unix.Errno   // restart code that the call returned, or 0
	restartBlock                RestartBlock // for restart_syscall(2)
	clearTID                    uint64       // address for set_tid_address(2)
	robustList                  uint64       // head of the robust list, get_robust_list(2)
	trapNo, trapError, trapAddr uint64       // of the last processor exception
	frame                       []byte       // buffer for signal frames
	altStack                    SignalStack  // sigaltstack(2)
	savedMask                   SignalSet    // to restore after sigsuspend(2) and the like
	hasSaved                    bool         //
	noNewPrivs                  atomic.Bool  // PR_SET_NO_NEW_PRIVS
	deathSignal                 atomic.Int32 // PR_SET_PDEATHSIG
	timerSlack                  uint64       // PR_SET_TIMERSLACK, in ns
	personality                 uint32       // personality(2)
	futex                       futexWaiter  //
	desk                        *loan.Desk   // nil if it borrows nothing
	transfers                   int          // made before it borrows
	ioprio                      atomic.Int32 // ioprio_set(2)
	sched                       schedState   //
	cpu                         cpuTime      //
	minorFaults                 atomic.Int64 //
	onExit                      []func()     // run when the task exits

	// Guarded by Kernel.mu.
	pid        *PID
	exe        *execFile
	exited     bool // no longer runs; a leader stays until its group has been reaped
	vforkBy    *Task
	exitStatus WaitStatus

	// Guarded by ThreadGroup.sigMu; the task itself reads sigMask without it.
	sigMask     SignalSet
	realMask    SignalSet // blocked signals that sigtimedwait(2) has unblocked
	pending     sigQueue
	exiting     bool // has begun to exit: takes no more signals
	stopPending bool // is to take part in the group's stop
	stopped     bool // does
}

// Kernel returns the sandbox's kernel.
func (t *Task) Kernel() *Kernel { return t.k }

// ThreadGroup returns the process of which the task is a thread.
func (t *Task) ThreadGroup() *ThreadGroup { return t.tg }

// Context returns the platform's side of the task.
func (t *Task) Context() platform.Context { return t.ctx }

// Regs returns the machine state: only for the task itself.
func (t *Task) Regs() *platform.State { return t.state }

// FSContext returns the task's view of the file system, for calls into vfs by the
// task itself.
func (t *Task) FSContext() *vfs.Context { return t.fs }

// After is platform.Context's, for the system call in progress.
func (t *Task) After(r platform.Runner) bool { return t.ctx.After(r) }

// FDTable returns the task's descriptors; nil once it has exited.
func (t *Task) FDTable() *vfs.FDTable { return t.fds.Load() }

// MM returns the task's memory manager; nil once it has exited.
func (t *Task) MM() *mm.MemoryManager { return t.mm.Load() }

// Memory returns the task's memory.
func (t *Task) Memory() usermem.Memory { return t.fs.Mem }

// Credentials returns the task's credentials. Only the task itself changes them
// (SetCredentials).
func (t *Task) Credentials() *cred.Credentials { return t.cred.Load() }

// SetCredentials gives the calling task new credentials.
func (t *Task) SetCredentials(c *cred.Credentials) {
	old := t.cred.Load()
	if old != nil && old.RUID != c.RUID {
		t.k.users.get(old.RUID).processes.Add(-1)
		t.k.users.get(c.RUID).processes.Add(1)
	}
	t.cred.Store(c)
	t.fs.Cred = c
}

// HasCap reports whether the task has a capability in its own user namespace.
func (t *Task) HasCap(c cred.Capability) bool { return t.Credentials().HasCap(c) }

// Namespaces returns the task's namespaces but for mounts and pids; nil once it has exited.
func (t *Task) Namespaces() *Namespaces { return t.ns.Load() }

// PIDNamespace returns the namespace in which the task sees pids.
func (t *Task) PIDNamespace() *PIDNamespace { return t.pid.ns }

// TID is the task's number in its own pid namespace, gettid(2). Only for the task
// itself.
func (t *Task) TID() int32 { return t.pid.own() }

// TIDIn is the task's number in ns, 0 if it is not visible there.
func (t *Task) TIDIn(ns *PIDNamespace) int32 {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	return t.pid.In(ns)
}

// Comm is the task's name, PR_GET_NAME: at most 15 bytes.
func (t *Task) Comm() string { return *t.comm.Load() }

// SetComm sets the name, cut to 15 bytes.
func (t *Task) SetComm(name string) {
	if len(name) > 15 {
		name = name[:15]
	}
	t.comm.Store(&name)
}

// NoNewPrivs reports PR_GET_NO_NEW_PRIVS.
func (t *Task) NoNewPrivs() bool { return t.noNewPrivs.Load() }

// State is the letter that /proc/PID/stat shows: R, S, T or Z.
func (t *Task) State() byte {
	t.k.mu.RLock()
	exited := t.exited
	t.k.mu.RUnlock()
	if exited {
		return 'Z'
	}
	t.tg.sigMu.Lock()
	stopped := t.stopped
	t.tg.sigMu.Unlock()
	switch {
	case stopped:
		return 'T'
	case t.blocked.Load():
		return 'S'
	}
	return 'R'
}

// OnExit has f called by the task when it exits, before it lets go of its memory
// and files.
func (t *Task) OnExit(f func()) { t.onExit = append(t.onExit, f) }

// A RestartBlock continues a system call that a signal has interrupted without a
// handler being run. It holds what it needs of the call's arguments.
type RestartBlock interface {
	// Restart is the rest of the call.
	Restart(t *Task) (uint64, error)
}

// SetRestart makes restart_syscall(2) continue the current call with r: for a
// handler that returns ErrRestartBlock.
func (t *Task) SetRestart(r RestartBlock) { t.restartBlock = r }

// Restart continues the call that ErrRestartBlock has interrupted:
// restart_syscall(2). EINTR if there is none.
func (t *Task) Restart() (uint64, error) {
	r := t.restartBlock
	t.restartBlock = nil
	if r == nil {
		return 0, unix.EINTR
	}
	return r.Restart(t)
}

// newTask makes a task of tg without a pid. The caller fills in what it owns.
func (k *Kernel) newTask(tg *ThreadGroup) *Task {
	t := &Task{k: k, tg: tg, timerSlack: defaultTimerSlack}
	t.entry.Notify = func(*wait.Entry, wait.Events) { t.waker.wake() }
	t.timer.Func = t.waker.wake
	t.futex.task = t
	t.ctx = k.platform.NewContext(t)
	t.waker.ctx = t.ctx
	t.state = t.ctx.State()
	return t
}

// defaultTimerSlack is PR_GET_TIMERSLACK's answer, in ns, until it is set. It does
// not delay anything here.
const defaultTimerSlack = 50000
