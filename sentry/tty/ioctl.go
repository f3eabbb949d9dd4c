package tty

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// Sizes of the settings in memory: struct termios and struct termios2 of the
// kernel's interface (asm-generic/termbits.h).
const (
	termiosSize  = 36
	termios2Size = 44
)

func encodeTermios(t *unix.Termios) (p [termios2Size]byte) {
	for i, w := range [...]uint32{t.Iflag, t.Oflag, t.Cflag, t.Lflag} {
		binary.NativeEndian.PutUint32(p[4*i:], w)
	}
	p[16] = t.Line
	copy(p[17:36], t.Cc[:])
	binary.NativeEndian.PutUint32(p[36:], t.Ispeed)
	binary.NativeEndian.PutUint32(p[40:], t.Ospeed)
	return p
}

func decodeTermios(p *[termios2Size]byte) (t unix.Termios) {
	for i, w := range [...]*uint32{&t.Iflag, &t.Oflag, &t.Cflag, &t.Lflag} {
		*w = binary.NativeEndian.Uint32(p[4*i:])
	}
	t.Line = p[16]
	copy(t.Cc[:], p[17:36])
	t.Ispeed = binary.NativeEndian.Uint32(p[36:])
	t.Ospeed = binary.NativeEndian.Uint32(p[40:])
	return t
}

// ioctl serves ioctl_tty(2) at either end.
func (t *Terminal) ioctl(ctx *vfs.Context, file *vfs.File, cmd uint32, arg uint64, master bool) (uint64, error) {
	task, _ := ctx.Task.(*kernel.Task)
	if task == nil {
		return 0, unix.ENOTTY
	}
	switch cmd {
	case unix.TCGETS, unix.TCGETS2:
		t.mu.Lock()
		p := encodeTermios(&t.ld.termios)
		t.mu.Unlock()
		n := termiosSize
		if cmd == unix.TCGETS2 {
			n = termios2Size
		}
		return out(ctx, arg, p[:n])
	case unix.TCSETS, unix.TCSETSW, unix.TCSETSF:
		return 0, t.set(ctx, arg, termiosSize, cmd == unix.TCSETSF)
	case unix.TCSETS2, unix.TCSETSW2, unix.TCSETSF2:
		return 0, t.set(ctx, arg, termios2Size, cmd == unix.TCSETSF2)

	case unix.TIOCGWINSZ:
		t.mu.Lock()
		size := t.size
		t.mu.Unlock()
		var p [8]byte
		for i, v := range [...]uint16{size.Row, size.Col, size.Xpixel, size.Ypixel} {
			binary.NativeEndian.PutUint16(p[2*i:], v)
		}
		return out(ctx, arg, p[:])
	case unix.TIOCSWINSZ:
		var p [8]byte
		if _, err := ctx.Mem.CopyIn(p[:], arg); err != nil {
			return 0, err
		}
		w := func(i int) uint16 { return binary.NativeEndian.Uint16(p[2*i:]) }
		t.Resize(unix.Winsize{Row: w(0), Col: w(1), Xpixel: w(2), Ypixel: w(3)})
		return 0, nil

	case unix.TIOCSCTTY:
		if master {
			return 0, unix.ENOTTY
		}
		return 0, t.Job.Acquire(task, t, arg == 1)
	case unix.TIOCNOTTY:
		return 0, t.Job.Relinquish(task)
	case unix.TIOCGPGRP:
		id, err := t.Job.Foreground(task, master)
		if err != nil {
			return 0, err
		}
		return out32(ctx, arg, uint32(id))
	case unix.TIOCSPGRP:
		if err := t.checkBackground(ctx, unix.SIGTTOU); err != nil {
			return 0, err
		}
		id, err := in32(ctx, arg)
		if err != nil {
			return 0, err
		}
		return 0, t.Job.SetForeground(task, int32(id))
	case unix.TIOCGSID:
		id, err := t.Job.SessionID(task, master)
		if err != nil {
			return 0, err
		}
		return out32(ctx, arg, uint32(id))

	case unix.TIOCINQ: // FIONREAD
		t.mu.Lock()
		n := t.ld.inputReady()
		if master {
			n = len(t.ld.output)
		}
		t.mu.Unlock()
		return out32(ctx, arg, uint32(n))
	case unix.TIOCOUTQ:
		t.mu.Lock()
		n := len(t.ld.output)
		if master {
			n = len(t.ld.input)
		}
		t.mu.Unlock()
		return out32(ctx, arg, uint32(n))
	case unix.TCFLSH:
		return 0, t.flush(ctx, arg, master)
	case unix.TCXONC:
		return 0, t.flow(ctx, arg)
	case unix.TCSBRK, unix.TCSBRKP:
		// Output reaches the master end at once, so there is nothing to wait for.
		return 0, t.checkBackground(ctx, unix.SIGTTOU)
	case unix.TIOCSTI:
		return 0, unix.EIO // as with dev.tty.legacy_tiocsti=0
	}
	if master {
		return t.masterIoctl(ctx, file, task, cmd, arg)
	}
	return 0, unix.ENOTTY
}

// masterIoctl serves what only the master end has.
func (t *Terminal) masterIoctl(ctx *vfs.Context, file *vfs.File, task *kernel.Task, cmd uint32, arg uint64) (uint64, error) {
	switch cmd {
	case unix.TIOCGPTN:
		return out32(ctx, arg, t.index)
	case unix.TIOCSPTLCK, unix.TIOCPKT:
		v, err := in32(ctx, arg)
		if err != nil {
			return 0, err
		}
		t.mu.Lock()
		if cmd == unix.TIOCPKT {
			t.packet, t.status = v != 0, 0
		} else {
			t.locked = v != 0
		}
		t.mu.Unlock()
		return 0, nil
	case unix.TIOCGPTLCK, unix.TIOCGPKT:
		t.mu.Lock()
		v := t.locked
		if cmd == unix.TIOCGPKT {
			v = t.packet
		}
		t.mu.Unlock()
		var n uint32
		if v {
			n = 1
		}
		return out32(ctx, arg, n)
	case unix.TIOCGPTPEER:
		master := file.Ops().(masterFile)
		return master.fs.openPeer(ctx, task, file, t, uint32(arg))
	case unix.TIOCSIG:
		if arg < 1 || arg > 64 {
			return 0, unix.EINVAL
		}
		t.Job.SignalForeground(t.k, int(arg))
		return 0, nil
	}
	return 0, unix.ENOTTY
}

// set serves tcsetattr(3).
func (t *Terminal) set(ctx *vfs.Context, arg uint64, size int, flush bool) error {
	if err := t.checkBackground(ctx, unix.SIGTTOU); err != nil {
		return err
	}
	t.mu.Lock()
	p := encodeTermios(&t.ld.termios)
	t.mu.Unlock()
	if _, err := ctx.Mem.CopyIn(p[:size], arg); err != nil {
		return err
	}
	settings := decodeTermios(&p)
	t.mu.Lock()
	if flush {
		t.ld.flushInput()
	}
	t.ld.setTermios(settings)
	t.mu.Unlock()
	t.queue.Notify(wait.In | wait.RdNorm | wait.Out | wait.WrNorm)
	t.masterQueue.Notify(wait.In | wait.RdNorm | wait.Out | wait.WrNorm)
	return nil
}

// Packet mode's status bits (ioctl_tty(2), TIOCPKT).
const (
	packetFlushRead  = 1
	packetFlushWrite = 2
	packetStop       = 4
	packetStart      = 8
)

// tellMaster sets status bits for packet mode. t.mu is held.
func (t *Terminal) tellMaster(bits byte) {
	if t.packet {
		t.status |= bits
	}
}

// flush serves tcflush(3).
func (t *Terminal) flush(ctx *vfs.Context, what uint64, master bool) error {
	if err := t.checkBackground(ctx, unix.SIGTTOU); err != nil {
		return err
	}
	if what > unix.TCIOFLUSH {
		return unix.EINVAL
	}
	input, output := what != unix.TCOFLUSH, what != unix.TCIFLUSH
	if master {
		input, output = output, input
	}
	t.mu.Lock()
	if input {
		t.ld.flushInput()
		t.tellMaster(packetFlushRead)
	}
	if output {
		t.ld.output = t.ld.output[:0]
		t.tellMaster(packetFlushWrite)
	}
	t.mu.Unlock()
	t.queue.Notify(wait.Out | wait.WrNorm)
	t.masterQueue.Notify(wait.In | wait.RdNorm | wait.Pri | wait.Out | wait.WrNorm)
	return nil
}

// flow serves tcflow(3).
func (t *Terminal) flow(ctx *vfs.Context, action uint64) error {
	if err := t.checkBackground(ctx, unix.SIGTTOU); err != nil {
		return err
	}
	t.mu.Lock()
	switch action {
	case unix.TCOOFF:
		t.ld.stopped = true
		t.tellMaster(packetStop)
	case unix.TCOON:
		t.ld.stopped = false
		t.tellMaster(packetStart)
	case unix.TCIOFF, unix.TCION:
		i := unix.VSTOP
		if action == unix.TCION {
			i = unix.VSTART
		}
		if c := t.ld.termios.Cc[i]; c != disabled {
			t.ld.raw(c)
		}
	default:
		t.mu.Unlock()
		return unix.EINVAL
	}
	t.mu.Unlock()
	t.queue.Notify(wait.Out | wait.WrNorm)
	t.masterQueue.Notify(wait.In | wait.RdNorm | wait.Pri)
	return nil
}

func out(ctx *vfs.Context, addr uint64, p []byte) (uint64, error) {
	_, err := ctx.Mem.CopyOut(addr, p)
	return 0, err
}

func out32(ctx *vfs.Context, addr uint64, v uint32) (uint64, error) {
	return out(ctx, addr, binary.NativeEndian.AppendUint32(nil, v))
}

func in32(ctx *vfs.Context, addr uint64) (uint32, error) {
	var p [4]byte
	_, err := ctx.Mem.CopyIn(p[:], addr)
	return binary.NativeEndian.Uint32(p[:]), err
}
