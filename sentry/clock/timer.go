package clock

import (
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Timer calls Func once when its time has come. It belongs to one Queue. Func
// runs on the queue's goroutine with no lock held and must not block; it may set
// the timer again.
type Timer struct {
	Func func()

	when  int64
	index int // in the heap, plus one; 0 when not set
}

// A Queue runs timers at their time with the precision of the host's high
// resolution timers: Go's own timers come up to a millisecond late when the
// program is idle. Setting a timer allocates nothing in the long run.
type Queue struct {
	seq  atomic.Uint32 // futex on which the queue's goroutine sleeps
	done atomic.Bool

	mu    sync.Mutex
	heap  []*Timer
	sleep int64 // the goroutine sleeps until then; Never when for ever, 0 when awake
}

// NewQueue starts a queue.
func NewQueue() *Queue {
	q := &Queue{}
	go q.run()
	return q
}

// Close ends the queue's goroutine. Timers that are set never run.
func (q *Queue) Close() {
	q.done.Store(true)
	q.kick()
}

// Set arms t to run at the monotonic time when, instead of when it was set to
// before.
func (q *Queue) Set(t *Timer, when int64) {
	q.mu.Lock()
	t.when = when
	if t.index == 0 {
		q.heap = append(q.heap, t)
		t.index = len(q.heap)
		q.up(t.index - 1)
	} else {
		q.fix(t.index - 1)
	}
	kick := when < q.sleep
	if kick {
		q.sleep = 0
	}
	q.mu.Unlock()
	if kick {
		q.kick()
	}
}

// Cancel disarms t and reports whether it was armed. When it was not, Func may be
// running at this moment.
func (q *Queue) Cancel(t *Timer) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.index == 0 {
		return false
	}
	q.remove(t.index - 1)
	return true
}

// Armed reports whether t is set, and for when.
func (q *Queue) Armed(t *Timer) (when int64, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return t.when, t.index != 0
}

func (q *Queue) kick() {
	q.seq.Add(1)
	FutexWake(&q.seq)
}

func (q *Queue) run() {
	for !q.done.Load() {
		seq := q.seq.Load()
		q.mu.Lock()
		now := Monotonic()
		ran := false
		for len(q.heap) > 0 && q.heap[0].when <= now {
			t := q.heap[0]
			q.remove(0)
			q.mu.Unlock()
			t.Func()
			ran = true
			q.mu.Lock()
		}
		if ran {
			// Let what the timers have made runnable run on this very thread
			// instead of waking another.
			q.sleep = 0
			q.mu.Unlock()
			runtime.Gosched()
			continue
		}
		q.sleep = Never
		if len(q.heap) > 0 {
			q.sleep = q.heap[0].when
		}
		until := q.sleep
		q.mu.Unlock()
		FutexWait(&q.seq, seq, until)
	}
}

// up and down restore the heap's order after the timer at i has moved.
func (q *Queue) up(i int) bool {
	moved := false
	for i > 0 {
		p := (i - 1) / 2
		if q.heap[p].when <= q.heap[i].when {
			break
		}
		q.swap(i, p)
		i, moved = p, true
	}
	return moved
}

func (q *Queue) down(i int) {
	for {
		c := 2*i + 1
		if c >= len(q.heap) {
			return
		}
		if c+1 < len(q.heap) && q.heap[c+1].when < q.heap[c].when {
			c++
		}
		if q.heap[i].when <= q.heap[c].when {
			return
		}
		q.swap(i, c)
		i = c
	}
}

func (q *Queue) fix(i int) {
	if !q.up(i) {
		q.down(i)
	}
}

func (q *Queue) swap(i, j int) {
	h := q.heap
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (q *Queue) remove(i int) {
	t := q.heap[i]
	last := len(q.heap) - 1
	if i != last {
		q.swap(i, last)
	}
	q.heap[last] = nil
	q.heap = q.heap[:last]
	t.index = 0
	if i != last {
		q.fix(i)
	}
}

// FutexWait sleeps on the host until FutexWake(w), while *w == val, or until the
// monotonic time until; it may return early. It occupies an OS thread.
func FutexWait(w *atomic.Uint32, val uint32, until int64) {
	// The kernel adds the thread's timer slack (50 µs) to every timeout.
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	futexWait(w, val, until)
}

// FutexWake wakes the goroutine that sleeps in FutexWait(w).
func FutexWake(w *atomic.Uint32) { futexWake(w) }
