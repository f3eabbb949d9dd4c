package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// CloneArgs are the arguments of clone3(2); clone(2), fork(2) and vfork(2) are
// translated to them.
type CloneArgs struct {
	Flags      uint64 // CLONE_*, without a signal
	PIDFD      uint64 // address
	ChildTID   uint64 // address
	ParentTID  uint64 // address
	ExitSignal int32
	Stack      uint64 // stack pointer of the child; 0 for the parent's
	TLS        uint64
	SetTID     []int32 // numbers asked for, innermost namespace first
}

const cloneNamespaces = unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC | unix.CLONE_NEWNET |
	unix.CLONE_NEWPID | unix.CLONE_NEWUSER | unix.CLONE_NEWCGROUP

// check reports EINVAL for flags that contradict each other, clone(2).
func (a *CloneArgs) check() error {
	f := a.Flags
	has := func(set uint64) bool { return f&set != 0 }
	switch {
	case has(unix.CLONE_NEWNS) && has(unix.CLONE_FS),
		has(unix.CLONE_NEWUSER) && has(unix.CLONE_FS),
		has(unix.CLONE_THREAD) && !has(unix.CLONE_SIGHAND),
		has(unix.CLONE_SIGHAND) && !has(unix.CLONE_VM),
		has(unix.CLONE_THREAD) && has(unix.CLONE_NEWUSER|unix.CLONE_NEWPID),
		has(unix.CLONE_SIGHAND) && has(unix.CLONE_CLEAR_SIGHAND),
		a.ExitSignal < 0 || a.ExitSignal > NumSignals:
		return unix.EINVAL
	}
	return nil
}

// Clone makes a new task: clone(2), clone3(2). State.Full holds. It returns the
// child's number in the caller's namespace. EAGAIN, EINVAL, ENOMEM, EPERM,
// ENOSPC, EEXIST.
func (t *Task) Clone(a *CloneArgs) (uint64, error) {
	if err := a.check(); err != nil {
		return 0, err
	}
	k := t.k
	if t.work.Load()&workAny != 0 {
		return 0, ErrRestartNoIntr
	}
	f := a.Flags
	c := t.Credentials()
	if u := t.userCount(); uint64(u.processes.Load()) >= t.tg.limits.Get(unix.RLIMIT_NPROC).Cur &&
		c.RUID != cred.RootUID && !c.HasCap(unix.CAP_SYS_RESOURCE) && !c.HasCap(unix.CAP_SYS_ADMIN) {
		return 0, unix.EAGAIN
	}
	if !k.tasksLeft() || !t.tg.cgroup.tasksLeft() {
		return 0, unix.EAGAIN
	}
	if f&unix.CLONE_PARENT != 0 && t.tg.unkillable {
		return 0, unix.EINVAL
	}
	ns, c, err := t.cloneNamespaces(f, c)
	if err != nil {
		return 0, err
	}
	if f&unix.CLONE_THREAD != 0 && ns.PIDForChildren != t.pid.ns {
		ns.Net.DecRef()
		return 0, unix.EINVAL
	}

	// The group.
	tg := t.tg
	if f&unix.CLONE_THREAD == 0 {
		handlers := t.tg.handlers
		switch {
		case f&unix.CLONE_SIGHAND != 0:
			handlers.mu.Lock()
			handlers.refs++
			handlers.mu.Unlock()
		default:
			handlers = handlers.fork()
			if f&unix.CLONE_CLEAR_SIGHAND != 0 {
				handlers.reset(false)
			}
		}
		tg = k.newThreadGroup(handlers, t.tg.limits.Fork(), t.tg.cgroup)
		tg.oomScoreAdj.Store(t.tg.oomScoreAdj.Load())
		tg.dumpable = t.tg.Dumpable()
	}
	n := k.newTask(tg)
	n.copyFrom(t)
	n.cred.Store(c)
	n.ns.Store(ns)

	// Memory.
	m := t.MM()
	if f&unix.CLONE_VM != 0 {
		m.IncUsers()
	} else if m, err = m.Fork(t.ctx); err != nil {
		ns.Net.DecRef()
		n.exe.DecRef()
		n.ctx.Release()
		return 0, err
	}
	n.mm.Store(m)
	if f&unix.CLONE_VM == 0 || f&unix.CLONE_VFORK != 0 {
		n.altStack = t.altStack
	}

	// Files.
	fs := *t.fs
	n.fs = &vfs.Context{Cred: c, Mem: m.ForContext(n.ctx), Task: n, FileSizeLimit: fs.FileSizeLimit, FS: fs.FS}
	if f&unix.CLONE_FS != 0 {
		fs.FS.IncRef()
	} else {
		n.fs.FS = fs.FS.Fork()
	}
	if f&unix.CLONE_NEWNS != 0 {
		n.setMountNamespace(fs.MountNS.Clone(c.UserNS, n.fs.FS))
	} else {
		fs.MountNS.IncRef()
		n.setMountNamespace(fs.MountNS)
	}
	fds := t.fds.Load()
	if f&unix.CLONE_FILES != 0 {
		fds.IncRef()
	} else {
		fds = fds.Fork(vfs.MaxFDs)
	}
	n.fds.Store(fds)
	fail := func(err error) (uint64, error) {
		fds.DecRef(n.fs, tg)
		n.fs.FS.DecRef()
		n.fs.MountNS.DecRef()
		n.setNamespaces(nil)
		m.DecUsers()
		n.exe.DecRef()
		n.ctx.Release()
		return 0, err
	}

	// Registers.
	n.state.Regs = t.state.Regs
	copy(n.state.FP, t.state.FP)
	n.state.Full = true
	n.state.SetReturn(0)
	if a.Stack != 0 {
		n.state.SetSP(a.Stack)
	}
	if f&unix.CLONE_SETTLS != 0 {
		if _, hi := k.platform.UserRange(); a.TLS >= hi {
			return fail(unix.EPERM)
		}
		if err := setTLS(n.state, a.TLS); err != nil {
			return fail(err)
		}
	}
	if f&unix.CLONE_CHILD_CLEARTID != 0 {
		n.clearTID = a.ChildTID
	}

	var pidfd int32 = -1
	if f&unix.CLONE_PIDFD != 0 {
		if pidfd, err = t.newPIDFD(n, f&unix.CLONE_THREAD != 0); err != nil {
			return fail(err)
		}
		var b [4]byte
		binary.LittleEndian.PutUint32(b[:], uint32(pidfd))
		if _, err := t.fs.Mem.CopyOut(a.PIDFD, b[:]); err != nil {
			t.fds.Load().Close(t.fs, t.tg, pidfd)
			return fail(err)
		}
	}

	tid, err := t.attach(n, tg, ns, a)
	if err != nil {
		if pidfd >= 0 {
			t.fds.Load().Close(t.fs, t.tg, pidfd)
		}
		return fail(err)
	}
	k.forks.Add(1)
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(tid))
	if f&unix.CLONE_PARENT_SETTID != 0 {
		t.fs.Mem.CopyOut(a.ParentTID, b[:])
	}
	if f&unix.CLONE_CHILD_SETTID != 0 {
		binary.LittleEndian.PutUint32(b[:], uint32(n.pid.own()))
		n.fs.Mem.CopyOut(a.ChildTID, b[:])
	}
	if err := n.start(); err != nil {
		n.abandon()
		return 0, err
	}
	if f&unix.CLONE_VFORK != 0 {
		t.waitVfork(n)
	}
	return uint64(tid), nil
}

// copyFrom gives n what a new task inherits in any case.
func (n *Task) copyFrom(t *Task) {
	n.comm.Store(t.comm.Load())
	n.seccomp.Store(t.seccomp.Load())
	n.noNewPrivs.Store(t.noNewPrivs.Load())
	n.sigMask = t.sigMask
	n.timerSlack = t.timerSlack
	n.personality = t.personality
	n.ioprio.Store(t.ioprio.Load())
	n.sched = t.sched.fork()
	n.image.Store(t.image.Load())
	t.exe.IncRef()
	n.exe = t.exe
}

// attach gives n a pid and makes it part of the process tree.
func (t *Task) attach(n *Task, tg *ThreadGroup, ns *Namespaces, a *CloneArgs) (int32, error) {
	k, f := t.k, a.Flags
	k.mu.Lock()
	defer k.mu.Unlock()
	t.tg.sigMu.Lock()
	dying := t.tg.groupExit || t.tg.execTask != nil
	t.tg.sigMu.Unlock()
	if dying || t.work.Load()&workAny != 0 {
		return 0, ErrRestartNoIntr
	}
	if len(a.SetTID) > 0 && !t.HasCap(unix.CAP_SYS_ADMIN) && !t.HasCap(unix.CAP_CHECKPOINT_RESTORE) {
		return 0, unix.EPERM
	}
	if !k.tasksLeft() || !t.tg.cgroup.tasksLeft() {
		return 0, unix.EAGAIN
	}
	p, err := k.allocPID(ns.PIDForChildren, a.SetTID)
	if err != nil {
		return 0, err
	}
	if f&unix.CLONE_VFORK != 0 {
		n.vforkBy = t
	}
	tg.addTask(n, p)
	if f&unix.CLONE_THREAD == 0 {
		tg.exitSignal = a.ExitSignal
		parent := t.tg
		tg.parentTask = t
		if f&unix.CLONE_PARENT != 0 {
			parent = t.tg.parent
			tg.parentTask = t.tg.parentTask
			tg.exitSignal = t.tg.exitSignal
		}
		tg.parent = parent
		if parent != nil {
			parent.childList = append(parent.childList, tg)
		}
		if pns := ns.PIDForChildren; pns.init == nil {
			pns.init = tg
			tg.unkillable = true
		}
		tg.joinGroup(t.tg.pgrp)
	}
	return p.In(t.pid.ns), nil
}

// start runs a task for the first time.
func (n *Task) start() error {
	n.cpu.mark.Store(clock.Monotonic())
	n.cpu.inUser.Store(true)
	n.started.Store(true)
	if n.tg.limits.Get(unix.RLIMIT_CPU).Cur != unix.RLIM_INFINITY {
		n.tg.CPULimitChanged()
	}
	if err := n.ctx.Start(n.MM().AddressSpace()); err != nil {
		n.started.Store(false)
		return err
	}
	if n.work.Load() != 0 {
		n.ctx.Interrupt()
	}
	return nil
}

// abandon undoes the making of a task that could not be started: it ends without a
// trace.
func (n *Task) abandon() {
	n.k.mu.Lock()
	n.tg.exitSignal = 0
	if n.tg.leader == n {
		n.tg.parent = dropChild(n.tg.parent, n.tg)
	}
	n.k.mu.Unlock()
	n.vforkDone()
	n.clearTID = 0
	n.exit()
	n.ctx.Release()
}

// dropChild takes tg out of p's children, and returns nil.
func dropChild(p, tg *ThreadGroup) *ThreadGroup {
	if p != nil {
		p.childList = remove(p.childList, tg)
	}
	return nil
}

// waitVfork waits until the child n of vfork(2) has let go of the memory.
func (t *Task) waitVfork(n *Task) {
	for {
		t.k.mu.RLock()
		done := n.vforkBy == nil
		t.k.mu.RUnlock()
		if done {
			return
		}
		if t.BlockKillable(clock.Never) != nil {
			t.k.mu.Lock()
			n.vforkBy = nil
			t.k.mu.Unlock()
			return
		}
	}
}

// cloneNamespaces returns the namespaces and credentials of a child made with
// flags f, or of the caller after unshare(2). The caller gets a reference to Net.
func (t *Task) cloneNamespaces(f uint64, c *cred.Credentials) (*Namespaces, *cred.Credentials, error) {
	ns := t.ns.Load()
	if f&cloneNamespaces == 0 {
		ns.Net.IncRef()
		return ns, c, nil
	}
	if f&unix.CLONE_NEWUSER != 0 {
		user, err := cred.NewChild(c)
		if err != nil {
			return nil, nil, err
		}
		c = c.Clone()
		c.EnterUserNamespace(user)
	}
	rest := f & cloneNamespaces &^ unix.CLONE_NEWUSER
	if rest == 0 {
		ns.Net.IncRef()
		return ns, c, nil
	}
	if !c.HasCap(unix.CAP_SYS_ADMIN) {
		return nil, nil, unix.EPERM
	}
	n := *ns
	if rest&unix.CLONE_NEWUTS != 0 {
		host, domain := ns.UTS.Names()
		n.UTS = t.k.NewUTSNamespace(host, domain, c.UserNS)
	}
	if rest&unix.CLONE_NEWIPC != 0 {
		n.IPC = t.k.NewIPCNamespace(c.UserNS)
	}
	if rest&unix.CLONE_NEWPID != 0 {
		if ns.PIDForChildren != t.pid.ns {
			return nil, nil, unix.EINVAL
		}
		pids, err := t.k.newPIDNamespace(ns.PIDForChildren, c.UserNS)
		if err != nil {
			return nil, nil, err
		}
		n.PIDForChildren = pids
	}
	if rest&unix.CLONE_NEWCGROUP != 0 {
		n.Cgroup = t.k.newCgroupNamespace(c.UserNS)
	}
	if rest&unix.CLONE_NEWNET != 0 {
		n.Net = t.k.NewNetNamespace(c.UserNS)
	} else {
		n.Net.IncRef()
	}
	return &n, c, nil
}
