package kernel

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/wait"
)

// waitChild is the event by which a thread group's queue of children tells that
// one has changed state.
const waitChild = wait.In

// A ThreadGroup is a process: the tasks that share a pid, signals and resource
// limits.
type ThreadGroup struct {
	k      *Kernel
	cgroup *Cgroup

	// Guarded by Kernel.mu.
	leader      *Task
	parent      *ThreadGroup // nil when started from outside the sandbox
	parentTask  *Task        // the thread that made it, for PR_SET_PDEATHSIG
	childList   []*ThreadGroup
	pgrp        *ProcessGroup // nil once reaped
	exitSignal  int32         // what the parent gets when the group dies; 0 for nothing
	dumpable    int           // PR_GET_DUMPABLE
	execed      bool          // has called execve(2) since it was forked
	subreaper   bool          // PR_SET_CHILD_SUBREAPER
	zombie      bool          // all tasks have exited
	reaped      bool
	autoReap    bool // children are reaped by themselves: the group is dying
	wstatus     WaitStatus
	startTime   int64 // CLOCK_BOOTTIME at which it began, ns
	childUser   int64 // times of children that were waited for, ns
	childSystem int64
	childMaxRSS uint64
	childMinor  int64
	pidWatch    wait.Queue // poll(2) on pidfds
	children    wait.Queue // those that wait for a child
	exitWaiter  *Task      // waits for the other tasks to be gone (execve), or for the namespace
	exitedCh    chan struct{}
	maxRSS      uint64        // peak resident set size of address spaces that are gone, bytes
	barriers    atomic.Uint32 // barrierPrivate, ...
	thpDisabled atomic.Bool
	oomScoreAdj atomic.Int32
	oomVictim   atomic.Bool // killed by KillForMemory
	pidNumber   atomic.Int32

	limits *Limits // shared by the group's tasks

	sigMu sync.Mutex
	// Guarded by sigMu.
	tasks      []*Task // that have not exited; changes with Kernel.mu held too
	pending    sigQueue
	handlers   *SignalHandlers
	unkillable bool // process 1 of a namespace
	groupExit  bool
	exitStatus WaitStatus // valid with groupExit
	execTask   *Task      // is killing the others for execve(2)
	stopState  int
	stopSignal int32
	stopCount  int // tasks that have yet to stop
	events     int // eventStopped, ...
	notifyCode int32
	deadUser   int64 // times of tasks that have exited
	deadSystem int64
	deadVol    int64
	deadMinor  int64
	timers     groupTimers
	signalFDs  wait.Queue // signalfd(2): told of every signal
}

// Leader returns the task whose id is the process's. After execve(2) in another
// thread it is that one.
func (tg *ThreadGroup) Leader() *Task {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.leader
}

// ID is the process's number in ns, getpid(2); 0 if it is not visible there.
func (tg *ThreadGroup) ID(ns *PIDNamespace) int32 {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.leader.pid.In(ns)
}

// PID is the process's number in its own namespace. Only for its own tasks.
func (tg *ThreadGroup) PID() int32 { return tg.pidNumber.Load() }

// Parent returns the parent process, nil if there is none in the sandbox.
func (tg *ThreadGroup) Parent() *ThreadGroup {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.parent
}

// ParentID is the parent's number in ns, getppid(2); 0 if it is not visible.
func (tg *ThreadGroup) ParentID(ns *PIDNamespace) int32 {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	if tg.parent == nil {
		return 0
	}
	return tg.parent.leader.pid.In(ns)
}

// Tasks returns the tasks that have not exited.
func (tg *ThreadGroup) Tasks() []*Task {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return append([]*Task(nil), tg.tasks...)
}

// NumTasks is the number of tasks that have not exited.
func (tg *ThreadGroup) NumTasks() int {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return len(tg.tasks)
}

// Limits returns the resource limits.
func (tg *ThreadGroup) Limits() *Limits { return tg.limits }

// StartTime is when the process began, on CLOCK_BOOTTIME in ns.
func (tg *ThreadGroup) StartTime() int64 { return tg.startTime }

// ExitSignal is the signal that the parent gets at the end.
func (tg *ThreadGroup) ExitSignal() int32 {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.exitSignal
}

// Children returns the child processes, the eldest first.
func (tg *ThreadGroup) Children() []*ThreadGroup {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return append([]*ThreadGroup(nil), tg.childList...)
}

// ChildCPUTime returns the times of the children that were waited for.
func (tg *ThreadGroup) ChildCPUTime() (user, system int64) {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.childUser, tg.childSystem
}

// SetSubreaper sets PR_SET_CHILD_SUBREAPER.
func (tg *ThreadGroup) SetSubreaper(on bool) {
	tg.k.mu.Lock()
	tg.subreaper = on
	tg.k.mu.Unlock()
}

// Subreaper returns PR_GET_CHILD_SUBREAPER.
func (tg *ThreadGroup) Subreaper() bool {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.subreaper
}

// Zombie reports whether all tasks have exited.
func (tg *ThreadGroup) Zombie() bool {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.zombie
}

// Exited is closed when the process has ended; ExitStatus says how. It is reaped by
// its parent, or by itself if it has none in the sandbox.
func (tg *ThreadGroup) Exited() <-chan struct{} { return tg.exitedCh }

// ExitStatus is the status with which the process ended; valid once Exited is
// closed.
func (tg *ThreadGroup) ExitStatus() WaitStatus {
	tg.k.mu.RLock()
	defer tg.k.mu.RUnlock()
	return tg.wstatus
}

// SignalState is what /proc/PID/status shows of the group's signals.
type SignalState struct {
	Pending, Ignored, Caught SignalSet
	Queued                   int64
}

// SignalState returns pending and handled signals of the group.
func (tg *ThreadGroup) SignalState() SignalState {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	s := SignalState{Pending: tg.pending.set}
	h := tg.handlers
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.actions {
		switch h.actions[i].Handler {
		case sigDfl:
		case sigIgn:
			s.Ignored |= 1 << i
		default:
			s.Caught |= 1 << i
		}
	}
	return s
}

// SignalSets returns the task's pending and blocked signals, for /proc.
func (t *Task) SignalSets() (pending, blocked SignalSet) {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	return t.pending.set, t.sigMask
}

func (tg *ThreadGroup) signalHandlers() *SignalHandlers {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return tg.handlers
}

// newThreadGroup makes a process without tasks.
func (k *Kernel) newThreadGroup(handlers *SignalHandlers, limits *Limits, cgroup *Cgroup) *ThreadGroup {
	tg := &ThreadGroup{
		k:         k,
		cgroup:    cgroup,
		handlers:  handlers,
		limits:    limits,
		exitedCh:  make(chan struct{}),
		startTime: k.Boottime(),
	}
	tg.timers.init(tg)
	return tg
}

// addTask makes t a task of its group with number p. k.mu is held.
func (tg *ThreadGroup) addTask(t *Task, p *PID) {
	t.pid, p.task = p, t
	tg.sigMu.Lock()
	tg.tasks = append(tg.tasks, t)
	tg.sigMu.Unlock()
	if tg.leader == nil {
		tg.leader = t
		tg.pidNumber.Store(p.own())
	}
	tg.k.users.get(t.Credentials().RUID).processes.Add(1)
	tg.k.tasks.Add(1)
	tg.cgroup.count(t)
}

// uncount takes t, of which no number is left, out of the counts of tasks, which
// zombies are in.
func (t *Task) uncount() {
	t.k.users.get(t.Credentials().RUID).processes.Add(-1)
	t.k.tasks.Add(-1)
	t.tg.cgroup.tasks.Add(-1)
}
