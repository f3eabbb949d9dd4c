// Package signalfd is the files of signalfd(2).
package signalfd

import (
	"encoding/binary"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A File reads the pending signals of a set. A read takes those of the task that
// reads; readiness is that of the process which made the file.
type File struct {
	vfs.FileDefaults
	tg   *kernel.ThreadGroup
	mask atomic.Uint64
}

// New returns a file for the signals of mask.
func New(tg *kernel.ThreadGroup, mask kernel.SignalSet) *File {
	f := &File{tg: tg}
	f.SetMask(mask)
	return f
}

// SetMask changes the set of signals.
func (f *File) SetMask(mask kernel.SignalSet) {
	f.mask.Store(uint64(mask &^ kernel.Unblockable))
	f.tg.WakeSignalFDs()
}

// infoSize is sizeof(struct signalfd_siginfo).
const infoSize = 128

// encode writes a struct signalfd_siginfo.
func encode(b *[infoSize]byte, i *kernel.SigInfo) {
	clear(b[:])
	le := binary.LittleEndian
	var s [kernel.SigInfoSize]byte
	i.Encode(s[:])
	le.PutUint32(b[0:], uint32(i.Signo))
	le.PutUint32(b[4:], uint32(i.Errno))
	le.PutUint32(b[8:], uint32(i.Code))
	switch {
	case i.Code == kernel.SITimer:
		copy(b[24:28], s[16:20]) // ssi_tid
		copy(b[32:36], s[20:24]) // ssi_overrun
		copy(b[44:48], s[24:28]) // ssi_int
		copy(b[48:56], s[24:32]) // ssi_ptr
	case i.Signo == int32(unix.SIGCHLD) && i.Code > 0:
		copy(b[12:20], s[16:24]) // ssi_pid, ssi_uid
		copy(b[40:44], s[24:28]) // ssi_status
		copy(b[56:64], s[32:40]) // ssi_utime
		copy(b[64:72], s[40:48]) // ssi_stime
	case i.Signo == int32(unix.SIGIO) && i.Code > 0 && i.Code < kernel.SIKernel:
		copy(b[28:32], s[16:20]) // ssi_band
		copy(b[20:24], s[24:28]) // ssi_fd
	case i.Code > 0 && i.Code < kernel.SIKernel:
		copy(b[72:80], s[16:24]) // ssi_addr
		copy(b[36:40], s[24:28]) // ssi_trapno
	default:
		copy(b[12:20], s[16:24])
		if i.Code < 0 {
			copy(b[44:48], s[24:28])
			copy(b[48:56], s[24:32])
		}
	}
}

// Read implements vfs.FileOps.
func (f *File) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	t, ok := ctx.Task.(*kernel.Task)
	if !ok || dst.Len() < infoSize {
		return 0, unix.EINVAL
	}
	total := 0
	var b [infoSize]byte
	for dst.Len() >= infoSize {
		info, ok := t.Dequeue(kernel.SignalSet(f.mask.Load()))
		if !ok {
			break
		}
		encode(&b, &info)
		n, err := dst.CopyOut(b[:])
		total += n
		if err != nil {
			if total > 0 {
				break
			}
			return 0, err
		}
	}
	if total == 0 {
		return 0, unix.EAGAIN
	}
	return total, nil
}

// Readiness implements vfs.FileOps.
func (f *File) Readiness(mask wait.Events) wait.Events {
	if f.tg.AnyPending(kernel.SignalSet(f.mask.Load())) {
		return mask & (wait.In | wait.RdNorm)
	}
	return 0
}

// Register implements vfs.FileOps.
func (f *File) Register(e *wait.Entry, mask wait.Events) { f.tg.RegisterSignalFD(e, mask) }

// Unregister implements vfs.FileOps.
func (f *File) Unregister(e *wait.Entry) { f.tg.UnregisterSignalFD(e) }
