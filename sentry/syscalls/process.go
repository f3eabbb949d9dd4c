package syscalls

import (
	"strconv"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// sysFork is fork(2).
func sysFork(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.Clone(&kernel.CloneArgs{ExitSignal: int32(unix.SIGCHLD)})
}

// sysVfork is vfork(2).
func sysVfork(t *kernel.Task, a kernel.Args) (uint64, error) {
	return t.Clone(&kernel.CloneArgs{Flags: unix.CLONE_VFORK | unix.CLONE_VM, ExitSignal: int32(unix.SIGCHLD)})
}

// cloneFlags32 are the flags that clone(2) knows; clone3(2) knows two more.
const cloneFlags32 = 0xffffffff &^ 0xff

// clone is clone(2) with the arguments in x86-64's order.
func clone(t *kernel.Task, flags, stack, ptid, ctid, tls uint64) (uint64, error) {
	if flags&unix.CLONE_PIDFD != 0 && flags&(unix.CLONE_PARENT_SETTID|unix.CLONE_DETACHED) != 0 {
		return 0, unix.EINVAL
	}
	return t.Clone(&kernel.CloneArgs{
		Flags:      flags & cloneFlags32 &^ unix.CLONE_DETACHED,
		PIDFD:      ptid,
		ParentTID:  ptid,
		ChildTID:   ctid,
		ExitSignal: int32(flags & 0xff),
		Stack:      stack,
		TLS:        tls,
	})
}

// Sizes of struct clone_args in its versions.
const (
	cloneArgsVer0 = 64
	cloneArgsVer2 = 88
	maxSetTID     = 32
)

// sysClone3 is clone3(2).
func sysClone3(t *kernel.Task, a kernel.Args) (uint64, error) {
	size := a.Size(1)
	if size > 4096 {
		return 0, unix.E2BIG
	}
	if size < cloneArgsVer0 {
		return 0, unix.EINVAL
	}
	b := make([]byte, max(size, cloneArgsVer2))
	if err := copyIn(t, a.Ptr(0), b[:size]); err != nil {
		return 0, err
	}
	for _, c := range b[cloneArgsVer2:] {
		if c != 0 {
			return 0, unix.E2BIG
		}
	}
	f := func(i int) uint64 { return le.Uint64(b[8*i:]) }
	flags, signal, stack, stackSize, setTID, nSet := f(0), f(4), f(5), f(6), f(8), f(9)
	const known = cloneFlags32 | unix.CLONE_CLEAR_SIGHAND | unix.CLONE_INTO_CGROUP | 0x80 // CLONE_NEWTIME
	if flags&^known != 0 || flags&unix.CLONE_DETACHED != 0 || signal > kernel.NumSignals ||
		(stack == 0) != (stackSize == 0) || nSet > maxSetTID || (setTID == 0) != (nSet == 0) ||
		flags&(unix.CLONE_THREAD|unix.CLONE_PARENT) != 0 && signal != 0 ||
		flags&(unix.CLONE_INTO_CGROUP|0x80) != 0 {
		return 0, unix.EINVAL
	}
	args := kernel.CloneArgs{
		Flags: flags, PIDFD: f(1), ChildTID: f(2), ParentTID: f(3), ExitSignal: int32(signal), TLS: f(7),
	}
	if stack != 0 {
		args.Stack = stack + stackSize
	}
	if nSet > 0 {
		p := make([]byte, 4*nSet)
		if err := copyIn(t, setTID, p); err != nil {
			return 0, err
		}
		for i := range nSet {
			args.SetTID = append(args.SetTID, int32(le.Uint32(p[4*i:])))
		}
	}
	return t.Clone(&args)
}

// sysExecve is execve(2).
func sysExecve(t *kernel.Task, a kernel.Args) (uint64, error) {
	return execveat(t, unix.AT_FDCWD, a.Ptr(0), a.Ptr(1), a.Ptr(2), 0)
}

// sysExecveat is execveat(2).
func sysExecveat(t *kernel.Task, a kernel.Args) (uint64, error) {
	return execveat(t, a.Int(0), a.Ptr(1), a.Ptr(2), a.Ptr(3), a.Int(4))
}

func execveat(t *kernel.Task, dirfd int32, path, argv, envp uint64, flags int32) (uint64, error) {
	if flags&^(unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW) != 0 {
		return 0, unix.EINVAL
	}
	name, err := getPath(t, path)
	if err != nil {
		return 0, err
	}
	e := kernel.ExecArgs{Path: name, Filename: name}
	if flags&unix.AT_SYMLINK_NOFOLLOW == 0 {
		e.Walk |= vfs.WalkFollow
	}
	if name == "" {
		if flags&unix.AT_EMPTY_PATH == 0 {
			return 0, unix.ENOENT
		}
		e.Walk |= vfs.WalkEmpty
	}
	if dirfd != unix.AT_FDCWD && (name == "" || name[0] != '/') {
		f := t.FDTable().GetPath(dirfd)
		if f == nil {
			return 0, unix.EBADF
		}
		defer f.DecRef()
		e.At.Path = f.Path()
		e.Filename = "/dev/fd/" + strconv.Itoa(int(dirfd))
		if name != "" {
			e.Filename += "/" + name
		}
		e.Hidden, _ = t.FDTable().Cloexec(dirfd)
	}
	if e.Argv, err = getStrings(t, argv); err != nil {
		return 0, err
	}
	if e.Envp, err = getStrings(t, envp); err != nil {
		return 0, err
	}
	if err := t.Exec(&e); err != nil {
		return 0, err
	}
	return t.Regs().Return(), nil
}

// sysExit is _exit(2) of one thread.
func sysExit(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.Exit(a.Int(0))
	return 0, nil
}

// sysExitGroup is exit_group(2).
func sysExitGroup(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.ExitGroup(kernel.WaitExited(a.Int(0)))
	return 0, nil
}

// sysWait4 is wait4(2).
func sysWait4(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = unix.WNOHANG | unix.WUNTRACED | unix.WCONTINUED | unix.WNOTHREAD | unix.WCLONE | unix.WALL
	pid, options := a.Int(0), int(a.Uint(2))
	if options&^known != 0 {
		return 0, unix.EINVAL
	}
	w := kernel.WaitFor{Options: options | unix.WEXITED}
	switch {
	case pid == -1<<31:
		return 0, unix.ESRCH
	case pid < -1:
		w.PGID = -pid
	case pid == 0:
		pgid, err := t.Getpgid(0)
		if err != nil {
			return 0, err
		}
		w.PGID = pgid
	case pid > 0:
		w.PID = pid
	}
	r, err := t.WaitChild(w)
	if err != nil || r.PID == 0 {
		return 0, err
	}
	if addr := a.Ptr(1); addr != 0 {
		if err := putUint32(t, addr, uint32(r.Status)); err != nil {
			return 0, err
		}
	}
	if addr := a.Ptr(3); addr != 0 {
		if err := putRusage(t, addr, &r.Usage); err != nil {
			return 0, err
		}
	}
	return uint64(r.PID), nil
}

// Values of waitid(2)'s first argument.
const (
	pAll   = 0
	pPID   = 1
	pPGID  = 2
	pPIDFD = 3
)

// sysWaitid is waitid(2).
func sysWaitid(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = unix.WNOHANG | unix.WNOWAIT | unix.WEXITED | unix.WSTOPPED | unix.WCONTINUED |
		unix.WNOTHREAD | unix.WCLONE | unix.WALL
	id, options := a.Int(1), int(a.Uint(3))
	if options&^known != 0 || options&(unix.WEXITED|unix.WSTOPPED|unix.WCONTINUED) == 0 {
		return 0, unix.EINVAL
	}
	w := kernel.WaitFor{Options: options}
	nonblock := false
	switch a.Int(0) {
	case pAll:
	case pPID:
		if id <= 0 {
			return 0, unix.EINVAL
		}
		w.PID = id
	case pPGID:
		if id < 0 {
			return 0, unix.EINVAL
		}
		w.PGID = id
		if id == 0 {
			pgid, err := t.Getpgid(0)
			if err != nil {
				return 0, err
			}
			w.PGID = pgid
		}
	case pPIDFD:
		p, err := t.PIDFileOf(id)
		if err != nil {
			return 0, err
		}
		w.Group = p.Task().ThreadGroup()
		if f := t.FDTable().Get(id); f != nil {
			nonblock = f.Nonblocking()
			f.DecRef()
		}
		if nonblock {
			w.Options |= unix.WNOHANG
		}
	default:
		return 0, unix.EINVAL
	}
	r, err := t.WaitChild(w)
	if err != nil {
		return 0, err
	}
	if r.PID == 0 && nonblock && options&unix.WNOHANG == 0 {
		return 0, unix.EAGAIN
	}
	if addr := a.Ptr(4); addr != 0 && r.PID != 0 {
		if err := putRusage(t, addr, &r.Usage); err != nil {
			return 0, err
		}
	}
	if addr := a.Ptr(2); addr != 0 {
		var b [28]byte
		if r.PID != 0 {
			le.PutUint32(b[0:], uint32(unix.SIGCHLD))
			le.PutUint32(b[8:], uint32(r.Code))
			le.PutUint32(b[16:], uint32(r.PID))
			le.PutUint32(b[20:], r.UID)
			le.PutUint32(b[24:], uint32(r.Value))
		}
		if err := copyOut(t, addr, b[:]); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// sysGetpid is getpid(2).
func sysGetpid(t *kernel.Task, a kernel.Args) (uint64, error) {
	return uint64(t.ThreadGroup().PID()), nil
}

// sysGettid is gettid(2).
func sysGettid(t *kernel.Task, a kernel.Args) (uint64, error) { return uint64(t.TID()), nil }

// sysGetppid is getppid(2).
func sysGetppid(t *kernel.Task, a kernel.Args) (uint64, error) {
	return uint64(t.ThreadGroup().ParentID(t.PIDNamespace())), nil
}

// sysGetpgid is getpgid(2).
func sysGetpgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.Getpgid(a.Int(0))
	return uint64(id), err
}

// sysGetpgrp is getpgrp(2).
func sysGetpgrp(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.Getpgid(0)
	return uint64(id), err
}

// sysSetpgid is setpgid(2).
func sysSetpgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.Setpgid(a.Int(0), a.Int(1))
}

// sysSetsid is setsid(2).
func sysSetsid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.Setsid()
	return uint64(id), err
}

// sysGetsid is getsid(2).
func sysGetsid(t *kernel.Task, a kernel.Args) (uint64, error) {
	id, err := t.Getsid(a.Int(0))
	return uint64(id), err
}

// sysSetTIDAddress is set_tid_address(2).
func sysSetTIDAddress(t *kernel.Task, a kernel.Args) (uint64, error) {
	t.SetClearTID(a.Ptr(0))
	return uint64(t.TID()), nil
}

// sysPidfdOpen is pidfd_open(2).
func sysPidfdOpen(t *kernel.Task, a kernel.Args) (uint64, error) {
	const pidfdThread = unix.O_EXCL
	pid, flags := a.Int(0), a.Uint(1)
	if flags&^(unix.PIDFD_NONBLOCK|pidfdThread) != 0 || pid <= 0 {
		return 0, unix.EINVAL
	}
	thread := flags&pidfdThread != 0
	o, err := t.FindTask(pid)
	if err != nil {
		return 0, err
	}
	if !thread && o.ThreadGroup().Leader() != o {
		return 0, unix.ENOENT
	}
	f := t.NewPIDFile(o, thread, flags&unix.PIDFD_NONBLOCK != 0)
	return addFile(t, f, true)
}

// Flags of pidfd_send_signal(2).
const (
	pidfdSignalThread       = 1
	pidfdSignalThreadGroup  = 2
	pidfdSignalProcessGroup = 4
)

// sysPidfdSendSignal is pidfd_send_signal(2).
func sysPidfdSendSignal(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	switch flags {
	case 0, pidfdSignalThread, pidfdSignalThreadGroup, pidfdSignalProcessGroup:
	default:
		return 0, unix.EINVAL
	}
	p, err := t.SignalFileOf(a.Int(0))
	if err != nil {
		return 0, err
	}
	sig := a.Int(1)
	var info *kernel.SigInfo
	if addr := a.Ptr(2); addr != 0 {
		if info, err = getSigInfo(t, addr); err != nil {
			return 0, err
		}
		if info.Signo != sig {
			return 0, unix.EINVAL
		}
		if (info.Code >= 0 || info.Code == kernel.SITkill) && p.Task() != t {
			return 0, unix.EPERM
		}
	}
	thread := flags == pidfdSignalThread || flags == 0 && p.Thread()
	return 0, t.SignalTo(p.Task(), thread, flags == pidfdSignalProcessGroup, sig, info)
}

// sysPidfdGetfd is pidfd_getfd(2).
func sysPidfdGetfd(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(2) != 0 {
		return 0, unix.EINVAL
	}
	p, err := t.PIDFileOf(a.Int(0))
	if err != nil {
		return 0, err
	}
	o := p.Task()
	if err := t.MayPtrace(o); err != nil {
		return 0, err
	}
	fds := o.FDTable()
	if fds == nil {
		return 0, unix.ESRCH
	}
	f := fds.Get(a.Int(1))
	if f == nil {
		return 0, unix.EBADF
	}
	return addFile(t, f, true)
}

// sysUnshare is unshare(2).
func sysUnshare(t *kernel.Task, a kernel.Args) (uint64, error) { return 0, t.Unshare(a.Size(0)) }

// sysSetns is setns(2).
func sysSetns(t *kernel.Task, a kernel.Args) (uint64, error) {
	return 0, t.Setns(a.Int(0), uint64(uint32(a.Int(1))))
}
