package kernel

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/wait"
)

// Reasons of SIGIO, the si_code of a signal chosen by F_SETSIG (sigaction(2)).
const (
	pollIn  = 1
	pollOut = 2
	pollErr = 4
	pollPri = 5
	pollHup = 6
)

// Types of a vfs.Owner but for F_OWNER_PID, fcntl(2).
const (
	ownerTID  = 0
	ownerPgrp = 2
)

// pollEvents are the events that are reasons.
var pollEvents = [...]wait.Events{pollIn: wait.In, pollOut: wait.Out, pollErr: wait.Err, pollPri: wait.Pri, pollHup: wait.Hup}

// pollBands are the si_band values of the reasons.
var pollBands = [...]wait.Events{
	pollIn: wait.In | wait.RdNorm, pollOut: wait.Out | wait.WrNorm | wait.WrBand, pollErr: wait.Err,
	pollPri: wait.Pri | wait.RdBand, pollHup: wait.Hup | wait.Err,
}

// asyncFiles are the open files with O_ASYNC.
type asyncFiles struct {
	mu    sync.Mutex
	files map[*vfs.File]*asyncFile
}

// An asyncFile sends signals when a file is ready (fcntl(2), "Managing signals").
type asyncFile struct {
	k       *Kernel
	f       *vfs.File
	fd      int32
	entry   wait.Entry
	reasons atomic.Uint32 // bits of reasons that have not been sent yet
}

// SetAsync begins or ends to send signals about f, which is open at fd, to its owner:
// what setting and clearing O_ASYNC does, which is only for pipes, sockets and
// terminals.
func (k *Kernel) SetAsync(f *vfs.File, fd int32, on bool) {
	switch f.Inode().Type() {
	case unix.S_IFIFO, unix.S_IFSOCK, unix.S_IFCHR:
	default:
		return
	}
	k.async.mu.Lock()
	defer k.async.mu.Unlock()
	a := k.async.files[f]
	switch {
	case !on && a != nil:
		delete(k.async.files, f)
		f.RemoveReleaser(a)
		f.Ops().Unregister(&a.entry)
	case on && a == nil:
		a = &asyncFile{k: k, f: f, fd: fd}
		a.entry.Notify = func(_ *wait.Entry, events wait.Events) { a.note(events) }
		if k.async.files == nil {
			k.async.files = map[*vfs.File]*asyncFile{}
		}
		k.async.files[f] = a
		f.AddReleaser(a)
		f.Ops().Register(&a.entry, wait.Readable|wait.Writable|wait.Pri)
	}
}

// FileReleased implements vfs.Releaser.
func (a *asyncFile) FileReleased(f *vfs.File) {
	a.k.async.mu.Lock()
	delete(a.k.async.files, f)
	a.k.async.mu.Unlock()
	f.Ops().Unregister(&a.entry)
}

// note has the signals for events sent by another goroutine: the caller has locks.
func (a *asyncFile) note(events wait.Events) {
	var reasons uint32
	for reason, mask := range pollEvents {
		if events&mask != 0 {
			reasons |= 1 << reason
		}
	}
	if reasons != 0 && a.reasons.Or(reasons) == 0 {
		go a.send()
	}
}

func (a *asyncFile) send() {
	o := a.f.Owner()
	reasons := a.reasons.Swap(0)
	if o == nil || o.ID == 0 {
		return
	}
	ns, _ := o.Namespace.(*PIDNamespace)
	if ns == nil {
		return
	}
	a.k.mu.RLock()
	defer a.k.mu.RUnlock()
	var to []*ThreadGroup
	var thread *Task
	switch o.Type {
	case ownerPgrp:
		if p := ns.pids[o.ID]; p != nil && p.group != nil {
			to = p.group.members
		}
	case ownerTID:
		if thread = ns.taskLocked(o.ID); thread != nil {
			to = []*ThreadGroup{thread.tg}
		}
	default:
		if tg := ns.threadGroupLocked(o.ID); tg != nil {
			to = []*ThreadGroup{tg}
		}
	}
	for _, tg := range to {
		c := tg.leader.Credentials()
		if o.Cred.EUID != 0 && o.Cred.EUID != c.SUID && o.Cred.EUID != c.RUID && o.Cred.RUID != c.SUID && o.Cred.RUID != c.RUID {
			continue
		}
		for reason := uint32(pollIn); reason <= pollHup; reason++ {
			if reasons>>reason&1 != 0 {
				a.signal(tg, thread, o.Signal, reason)
			}
		}
	}
}

// signal sends one signal: sig with a siginfo that tells the reason, or, if sig is 0
// or cannot be queued, SIGIO.
func (a *asyncFile) signal(tg *ThreadGroup, thread *Task, sig int32, reason uint32) {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	if sig != 0 {
		info := &SigInfo{Signo: sig, Code: int32(reason)}
		info.SetPoll(int64(pollBands[reason]), a.fd)
		if tg.sendLocked(info, thread, false) == nil {
			return
		}
	}
	tg.sendLocked(kernelSigInfo(int32(unix.SIGIO)), thread, false)
}
