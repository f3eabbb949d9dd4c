// Package timerfd is the files of timerfd_create(2).
package timerfd

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A File is a timer that can be read.
type File struct {
	vfs.FileDefaults
	timers *clock.Queue
	timer  clock.Timer
	clock  int32

	mu       sync.Mutex
	next     int64 // monotonic time of the next expiration; 0 when not armed
	interval int64
	ticks    uint64 // expirations that have not been read
	queue    wait.Queue
}

// New returns a timer on a clock, which counts like CLOCK_MONOTONIC, or like
// CLOCK_REALTIME, whose leaps it does not notice: nobody in the sandbox can make
// any.
func New(timers *clock.Queue, clockID int32) *File {
	f := &File{timers: timers, clock: clockID}
	f.timer.Func = f.expired
	return f
}

// Clock is the clock that New was given.
func (f *File) Clock() int32 { return f.clock }

// Set arms the timer for the monotonic time next and every interval ns after it, or
// disarms it if next is 0. It returns what was left, and the interval, before.
func (f *File) Set(next, interval int64) (oldLeft, oldInterval int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	oldLeft, oldInterval = f.left()
	f.next, f.interval, f.ticks = next, interval, 0
	if next == 0 {
		f.timers.Cancel(&f.timer)
	} else {
		f.timers.Set(&f.timer, next)
	}
	return oldLeft, oldInterval
}

// Get returns what is left until the next expiration, 0 if there is none, and the
// interval, in ns.
func (f *File) Get() (left, interval int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.left()
}

func (f *File) left() (left, interval int64) {
	if f.next != 0 {
		f.advance(clock.Monotonic())
	}
	if f.next != 0 {
		left = max(f.next-clock.Monotonic(), 1)
	}
	return left, f.interval
}

// advance counts the expirations up to now.
func (f *File) advance(now int64) {
	if f.next == 0 || now < f.next {
		return
	}
	if f.interval == 0 {
		f.next = 0
		f.ticks++
		return
	}
	n := (now-f.next)/f.interval + 1
	f.ticks += uint64(n)
	if n > (clock.Never-f.next)/f.interval {
		f.next = clock.Never
		return
	}
	f.next += n * f.interval
}

func (f *File) expired() {
	f.mu.Lock()
	f.advance(clock.Monotonic())
	ready := f.ticks > 0
	if f.next != 0 {
		f.timers.Set(&f.timer, f.next)
	}
	f.mu.Unlock()
	if ready {
		f.queue.Notify(wait.In | wait.RdNorm)
	}
}

// Read implements vfs.FileOps.
func (f *File) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() < 8 {
		return 0, unix.EINVAL
	}
	f.mu.Lock()
	f.advance(clock.Monotonic())
	n := f.ticks
	f.ticks = 0
	f.mu.Unlock()
	if n == 0 {
		return 0, unix.EAGAIN
	}
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return dst.CopyOut(b[:])
}

// Readiness implements vfs.FileOps.
func (f *File) Readiness(mask wait.Events) wait.Events {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advance(clock.Monotonic())
	if f.ticks > 0 {
		return mask & (wait.In | wait.RdNorm)
	}
	return 0
}

// Register implements vfs.FileOps.
func (f *File) Register(e *wait.Entry, mask wait.Events) { f.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (f *File) Unregister(e *wait.Entry) { f.queue.Unregister(e) }

// Release implements vfs.FileOps.
func (f *File) Release(*vfs.File) { f.Set(0, 0) }
