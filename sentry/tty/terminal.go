package tty

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/vfs/wait"
)

// A Terminal is a pseudo-terminal: a line discipline between the master end and
// the terminal proper.
type Terminal struct {
	// Job is what sessions and process groups know of the terminal.
	Job kernel.ControllingTerminal

	k     *kernel.Kernel
	index uint32

	masterQueue wait.Queue // who waits at the master end
	queue       wait.Queue // who waits at the terminal

	mu       sync.Mutex
	ld       lineDiscipline
	size     unix.Winsize
	locked   bool // TIOCSPTLCK: the terminal cannot be opened yet
	masters  int  // open files of either end
	opens    int
	opened   bool // the terminal was open once
	hungUp   bool // the master end is closed
	packet   bool // TIOCPKT
	status   byte // packet mode: what the master is to be told
	timer    clock.Timer
	expired  bool // the VTIME of a read has passed
	timing   bool // the timer runs
	released func()
}

// newTerminal returns a terminal that is closed at both ends. released is called
// when both have been closed again.
func newTerminal(k *kernel.Kernel, index uint32, released func()) *Terminal {
	t := &Terminal{k: k, index: index, released: released, locked: true}
	t.ld.termios = defaultTermios()
	t.timer.Func = t.expire
	return t
}

// Index is the terminal's number, N in /dev/pts/N.
func (t *Terminal) Index() uint32 { return t.index }

// Input takes what was typed: it is the master end's write. It returns how much it
// took, 0 if there is no room.
func (t *Terminal) Input(p []byte) int {
	t.mu.Lock()
	p = p[:min(len(p), t.ld.room())]
	signals := t.ld.receive(p)
	t.mu.Unlock()
	for _, s := range signals {
		t.Job.SignalForeground(t.k, s)
	}
	if len(p) > 0 {
		t.queue.Notify(wait.In | wait.RdNorm | wait.Out | wait.WrNorm)
		t.masterQueue.Notify(wait.In | wait.RdNorm) // the echo
	}
	return len(p)
}

// Output moves what is to be shown to p: it is the master end's read. It returns
// how much there was.
func (t *Terminal) Output(p []byte) int {
	t.mu.Lock()
	n := t.takeOutput(p)
	t.mu.Unlock()
	if n > 0 {
		t.queue.Notify(wait.Out | wait.WrNorm)
	}
	return n
}

func (t *Terminal) takeOutput(p []byte) int {
	if t.ld.stopped {
		return 0
	}
	n := copy(p, t.ld.output)
	t.ld.output = append(t.ld.output[:0], t.ld.output[n:]...)
	return n
}

// Resize sets the size of the window and tells the foreground process group.
func (t *Terminal) Resize(size unix.Winsize) {
	t.mu.Lock()
	changed := t.size != size
	t.size = size
	t.mu.Unlock()
	if changed {
		t.Job.SignalForeground(t.k, int(unix.SIGWINCH))
	}
}

// MasterQueue is notified when Output has something, or Input room.
func (t *Terminal) MasterQueue() *wait.Queue { return &t.masterQueue }

// open counts an opened file of the terminal. EIO when the master end is closed
// or has not unlocked it.
func (t *Terminal) open() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hungUp || t.locked {
		return unix.EIO
	}
	t.opens++
	t.opened = true
	return nil
}

func (t *Terminal) close() {
	t.mu.Lock()
	t.opens--
	last := t.opens == 0
	gone := last && t.masters == 0
	t.mu.Unlock()
	if last {
		t.masterQueue.Notify(wait.Hup | wait.In | wait.RdNorm)
	}
	if gone {
		t.released()
	}
}

// OpenMaster counts an opened master end, which CloseMaster takes back.
func (t *Terminal) OpenMaster() {
	t.mu.Lock()
	t.masters++
	t.mu.Unlock()
}

// Unlock lets the terminal be opened (unlockpt(3)).
func (t *Terminal) Unlock() {
	t.mu.Lock()
	t.locked = false
	t.mu.Unlock()
}

// CloseMaster closes a master end. With the last the terminal is hung up: its
// session is told by SIGHUP, reads give end of file, writes EIO.
func (t *Terminal) CloseMaster() {
	t.mu.Lock()
	t.masters--
	last := t.masters == 0
	if last {
		t.hungUp = true
	}
	gone := last && t.opens == 0
	t.mu.Unlock()
	if last {
		t.k.Timers().Cancel(&t.timer)
		t.Job.Hangup(t.k)
		t.queue.Notify(wait.Hup | wait.Err | wait.In | wait.RdNorm | wait.Out | wait.WrNorm)
	}
	if gone {
		t.released()
	}
}

// isHungUp reports whether the master end has been closed.
func (t *Terminal) isHungUp() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hungUp
}

// read moves input to the reader by copyOut, which takes what it is given or fails
// with EFAULT.
func (t *Terminal) read(n int, copyOut func([]byte) (int, error)) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hungUp {
		return 0, nil
	}
	vmin, vtime := int(t.ld.termios.Cc[unix.VMIN]), int64(t.ld.termios.Cc[unix.VTIME])
	if t.ld.lflag(unix.ICANON) {
		vmin, vtime = 1, 0
	}
	if !t.ld.readable(min(vmin, n)) {
		switch {
		case vmin == 0 && vtime == 0:
			return 0, nil
		case t.expired:
			t.expired = false
			if len(t.ld.input) == 0 {
				return 0, nil
			}
		case vtime > 0 && (vmin == 0 || len(t.ld.input) > 0):
			if !t.timing {
				t.timing = true
				t.k.Timers().Set(&t.timer, clock.Monotonic()+vtime*1e8)
			}
			return 0, unix.EAGAIN
		default:
			return 0, unix.EAGAIN
		}
	}
	if t.timing {
		t.timing = false
		t.k.Timers().Cancel(&t.timer)
	}
	p := t.ld.peek(n)
	n, err := copyOut(p)
	if n > 0 || err == nil {
		t.ld.consume(n)
		err = nil
	}
	return n, err
}

// expire ends a read's VTIME.
func (t *Terminal) expire() {
	t.mu.Lock()
	if t.timing {
		t.timing, t.expired = false, true
	}
	t.mu.Unlock()
	t.queue.Notify(wait.In | wait.RdNorm)
}

// write takes output. EIO after a hang-up, EAGAIN if there is no room.
func (t *Terminal) write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hungUp {
		return 0, unix.EIO
	}
	n := t.ld.send(p)
	if n == 0 && len(p) > 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

// readiness is the terminal's.
func (t *Terminal) readiness() (e wait.Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	vmin := int(t.ld.termios.Cc[unix.VMIN])
	if t.ld.termios.Cc[unix.VTIME] != 0 {
		vmin = 1
	}
	if t.ld.readable(vmin) {
		e |= wait.In | wait.RdNorm
	}
	if !t.ld.stopped && len(t.ld.output) < outputLimit {
		e |= wait.Out | wait.WrNorm
	}
	if t.hungUp {
		e |= wait.In | wait.RdNorm | wait.Out | wait.WrNorm | wait.Hup | wait.Err
	}
	return e
}

// masterReadiness is the master end's.
func (t *Terminal) masterReadiness() (e wait.Events) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.ld.output) > 0 && !t.ld.stopped || t.packet && t.status != 0 {
		e |= wait.In | wait.RdNorm
	}
	if t.packet && t.status != 0 {
		e |= wait.Pri
	}
	if t.ld.room() > 0 {
		e |= wait.Out | wait.WrNorm
	}
	if t.opened && t.opens == 0 {
		e |= wait.Hup
	}
	return e
}

// DeviceNumber is the terminal's device number as /proc/PID/stat shows it.
func (t *Terminal) DeviceNumber() uint32 { return majorPTS<<8 | t.index&0xff | t.index>>8<<20 }
