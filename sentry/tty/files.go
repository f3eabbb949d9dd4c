package tty

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A terminalFile is an open terminal.
type terminalFile struct {
	vfs.FileDefaults
	*Terminal
}

// Read implements vfs.FileOps. A process in the background gets SIGTTIN.
func (f terminalFile) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if err := f.checkBackground(ctx, unix.SIGTTIN); err != nil {
		return 0, err
	}
	if dst.Len() == 0 {
		return 0, nil
	}
	n, err := f.read(int(dst.Len()), dst.CopyOut)
	if n > 0 {
		f.masterQueue.Notify(wait.Out | wait.WrNorm)
	}
	return n, err
}

// Write implements vfs.FileOps. A process in the background gets SIGTTOU if TOSTOP
// is set.
func (f terminalFile) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	f.mu.Lock()
	stop := f.ld.lflag(unix.TOSTOP)
	f.mu.Unlock()
	if stop {
		if err := f.checkBackground(ctx, unix.SIGTTOU); err != nil {
			return 0, err
		}
	}
	return transfer(src, f.roomOut, f.write, &f.masterQueue)
}

// roomOut is how many characters of output fit for sure.
func (t *Terminal) roomOut() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hungUp {
		return 1 // for write to say so
	}
	if t.ld.stopped {
		return 0
	}
	return max(outputLimit-len(t.ld.output), 0)
}

// transfer copies src piece by piece to write, no more at a time than there is
// room, and notifies q.
func transfer(src *usermem.Seq, room func() int, write func([]byte) (int, error), q *wait.Queue) (int, error) {
	var buf [2048]byte
	total := 0
	var err error
	for src.Len() > 0 && err == nil {
		space := min(room(), len(buf), int(src.Len()))
		if space == 0 {
			err = unix.EAGAIN
			break
		}
		var n int
		if n, err = src.CopyIn(buf[:space]); n == 0 {
			break
		}
		n, err = write(buf[:n])
		total += n
	}
	if total > 0 {
		q.Notify(wait.In | wait.RdNorm)
		return total, nil
	}
	return 0, err
}

// checkBackground stops a process in a background group of the terminal's session
// by sig (SIGTTIN, SIGTTOU): ErrRestartSys, or EIO if it cannot be stopped.
func (t *Terminal) checkBackground(ctx *vfs.Context, sig unix.Signal) error {
	task, _ := ctx.Task.(*kernel.Task)
	if task == nil {
		return nil
	}
	return t.Job.CheckBackground(task, sig)
}

// Readiness implements vfs.FileOps.
func (f terminalFile) Readiness(mask wait.Events) wait.Events {
	return f.readiness() & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (f terminalFile) Register(e *wait.Entry, mask wait.Events) { f.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (f terminalFile) Unregister(e *wait.Entry) { f.queue.Unregister(e) }

// Ioctl implements vfs.FileOps.
func (f terminalFile) Ioctl(ctx *vfs.Context, file *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	return f.ioctl(ctx, file, cmd, arg, false)
}

// Release implements vfs.FileOps.
func (f terminalFile) Release(*vfs.File) { f.close() }

// A masterFile is an open master end.
type masterFile struct {
	vfs.FileDefaults
	*Terminal
	fs *FileSystem
}

// Read implements vfs.FileOps. EIO when the terminal has been closed.
func (f masterFile) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	total := 0
	f.mu.Lock()
	if f.packet {
		status := f.status
		if status != 0 || len(f.ld.output) > 0 && !f.ld.stopped {
			f.status = 0
			f.mu.Unlock()
			if _, err := dst.CopyOut([]byte{status}); err != nil {
				return 0, err
			}
			if status != 0 {
				return 1, nil
			}
			total = 1
			f.mu.Lock()
		}
	}
	closed := f.opened && f.opens == 0
	f.mu.Unlock()
	var buf [4096]byte
	for dst.Len() > 0 {
		n := f.Output(buf[:min(dst.Len(), uint64(len(buf)))])
		if n == 0 {
			break
		}
		n, err := dst.CopyOut(buf[:n])
		total += n
		if err != nil {
			if total == 0 {
				return 0, err
			}
			break
		}
	}
	if total == 0 {
		if closed {
			return 0, unix.EIO
		}
		return 0, unix.EAGAIN
	}
	return total, nil
}

// Write implements vfs.FileOps.
func (f masterFile) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	write := func(p []byte) (int, error) { return f.Input(p), nil }
	room := func() int {
		f.mu.Lock()
		defer f.mu.Unlock()
		return f.ld.room()
	}
	return transfer(src, room, write, &f.queue)
}

// Readiness implements vfs.FileOps.
func (f masterFile) Readiness(mask wait.Events) wait.Events {
	return f.masterReadiness() & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (f masterFile) Register(e *wait.Entry, mask wait.Events) { f.masterQueue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (f masterFile) Unregister(e *wait.Entry) { f.masterQueue.Unregister(e) }

// Ioctl implements vfs.FileOps.
func (f masterFile) Ioctl(ctx *vfs.Context, file *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	return f.ioctl(ctx, file, cmd, arg, true)
}

// Release implements vfs.FileOps.
func (f masterFile) Release(*vfs.File) { f.CloseMaster() }
