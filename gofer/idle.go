package gofer

import (
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// An idleWatch finds out whether there are at most as many runnable threads on
// the host as processors, from the fourth field of /proc/loadavg (proc(5)).
// That takes a microsecond, so it looks only now and then.
type idleWatch struct {
	fd    int          // /proc/loadavg
	cpus  int          // processors that this process may run on
	until atomic.Int64 // when the answer is stale, by nanotime
	free  atomic.Bool
}

// How long an answer holds. A load that comes and goes is a load.
const (
	freeFor = 1 * time.Millisecond
	busyFor = 10 * time.Millisecond
)

func (w *idleWatch) open() (err error) {
	w.cpus = runtime.NumCPU()
	w.fd, err = unix.Open("/proc/loadavg", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return err
}

// idle reports whether nobody is likely to wait for a processor. buf is to
// read to.
func (w *idleWatch) idle(buf []byte) bool {
	now := nanotime()
	until := w.until.Load()
	if int64(now) < until || !w.until.CompareAndSwap(until, int64(now+busyFor)) {
		return w.free.Load()
	}
	free := false
	if n, e := pread(w.fd, buf, 0); e == 0 {
		running, ok := parseRunning(buf[:n])
		free = ok && running <= w.cpus
	}
	w.free.Store(free)
	if free {
		w.until.Store(int64(now + freeFor))
	}
	return free
}

// parseRunning returns the number before the slash in a line like
// "0.20 0.18 0.12 1/80 11206".
func parseRunning(line []byte) (n int, ok bool) {
	field := 0
	for _, c := range line {
		switch {
		case c == ' ':
			field++
		case field == 3 && c >= '0' && c <= '9' && n < 1<<20:
			n = n*10 + int(c-'0')
			ok = true
		case field == 3:
			return n, ok && c == '/'
		}
	}
	return 0, false
}
