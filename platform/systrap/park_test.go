//go:build amd64

package systrap

import (
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// A ring of contexts hand a token round, each of them parked while it does not have
// it; another goroutine unparks them at random besides, and interrupts them.
func TestPark(t *testing.T) {
	p := open(t)
	const members, rounds = 8, 500
	text := new(code).mov(ax, unix.SYS_READ).syscall().jmp(0)
	var tasks [members]*task
	var holder, passed atomic.Int64
	for i := range tasks {
		g := newGuest(t, p, text)
		tk := g.newTask()
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			for holder.Load() != int64(i) {
				if passed.Load() == members*rounds {
					close(tk.ended)
					return platform.Exit
				}
				tk.Park()
			}
			if passed.Add(1) == members*rounds {
				holder.Store(-1)
				for _, other := range tasks {
					other.Unpark()
				}
			} else {
				holder.Store(int64(i+1) % members)
				tasks[(i+1)%members].Unpark()
			}
			return platform.Resume
		}
		tasks[i] = tk
	}
	for _, tk := range tasks {
		tk.start(tk.g.as)
	}
	stop := make(chan struct{})
	go func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Microsecond):
				tasks[i%members].Unpark()
				tasks[(i+3)%members].Interrupt()
			}
		}
	}()
	for _, tk := range tasks {
		tk.wait()
	}
	close(stop)
	if n := passed.Load(); n != members*rounds {
		t.Errorf("the token was passed on %d times, want %d", n, members*rounds)
	}
}

// An Unpark that comes before Park counts, once.
func TestUnparkBeforePark(t *testing.T) {
	p := open(t)
	g := newGuest(t, p, new(code).mov(ax, unix.SYS_READ).syscall())
	tk := g.newTask()
	var unparked atomic.Bool
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.Unpark()
		tk.Unpark()
		tk.Park()
		go func() {
			time.Sleep(5 * time.Millisecond)
			unparked.Store(true)
			tk.Unpark()
		}()
		tk.Park()
		if !unparked.Load() {
			t.Error("the second Park has not waited")
		}
		close(tk.ended)
		return platform.Exit
	}
	tk.start(g.as).wait()
}
