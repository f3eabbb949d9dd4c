package timerfd

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// ticks reads the timer.
func ticks(t *testing.T, f *File) (uint64, error) {
	t.Helper()
	var b [8]byte
	seq := usermem.Kernel(b[:])
	_, err := f.Read(nil, nil, &seq, 0, 0)
	return binary.LittleEndian.Uint64(b[:]), err
}

func TestTimer(t *testing.T) {
	q := clock.NewQueue()
	defer q.Close()
	f := New(q, unix.CLOCK_MONOTONIC)
	if _, err := ticks(t, f); err != unix.EAGAIN {
		t.Errorf("not armed: %v", err)
	}
	woken := make(chan struct{}, 1)
	e := wait.Entry{Notify: func(*wait.Entry, wait.Events) {
		select {
		case woken <- struct{}{}:
		default:
		}
	}}
	f.Register(&e, wait.In)
	defer f.Unregister(&e)
	f.Set(clock.After(2e6), 0)
	<-woken
	if f.Readiness(wait.In) == 0 {
		t.Error("not readable after it has gone off")
	}
	if n, err := ticks(t, f); n != 1 || err != nil {
		t.Errorf("%d ticks, %v", n, err)
	}
	if _, err := ticks(t, f); err != unix.EAGAIN {
		t.Errorf("read twice: %v", err)
	}

	// Periods that have passed unread are counted together.
	now := clock.Monotonic()
	f.Set(now-95, 10)
	n, err := ticks(t, f)
	if least := uint64((clock.Monotonic() - now + 95) / 10); n < 10 || n > least+1 || err != nil {
		t.Errorf("%d ticks, %v", n, err)
	}
	if left, interval := f.Set(0, 0); interval != 10 || left < 1 || left > 10 {
		t.Errorf("left %d of %d", left, interval)
	}
	if left, _ := f.Get(); left != 0 {
		t.Errorf("%d left when disarmed", left)
	}
	var small [4]byte
	seq := usermem.Kernel(small[:])
	if _, err := f.Read(nil, nil, &seq, 0, 0); err != unix.EINVAL {
		t.Errorf("short read: %v", err)
	}
}

func TestIntervalWithoutEnd(t *testing.T) {
	q := clock.NewQueue()
	defer q.Close()
	f := New(q, unix.CLOCK_MONOTONIC)
	f.Set(1, clock.Never-1)
	if n, err := ticks(t, f); n != 1 || err != nil {
		t.Errorf("%d ticks, %v", n, err)
	}
}
