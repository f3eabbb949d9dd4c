// Package wheel has the timers of a stack: one wheel with slots of growing
// width, so that arming and stopping cost the same however many timers there
// are. Like Linux's, it never fires early and may fire late by an eighth of the
// time asked for.
//
// A Wheel that runs by itself keeps a single time.Timer armed for the next slot
// in use; it has no goroutine of its own and costs nothing while no timer is
// armed. For tests a Wheel can be driven by hand (NewManual, Advance).
package wheel

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

const (
	slotBits = 6
	slots    = 1 << slotBits
	stepBits = 3 // each level's slots are 8 times as wide as those below
	levels   = 8 // the last covers 64 slots of 2^21 ms each: 37 hours
)

// Wheel is a set of timers with a clock. Create it with New or NewManual.
type Wheel struct {
	start  time.Time
	manual atomic.Int64 // ns since start, when driven by hand
	hand   bool

	mu struct {
		sync.Mutex
		now     int64 // tick up to which slots have fired
		used    [levels]uint64
		slot    [levels][slots]*Timer
		armed   int64 // tick that the time.Timer is set for; 0 if none
		timer   *time.Timer
		running bool
		closed  bool
		n       int
	}
	idle sync.Cond // a run has ended; with mu
}

// New returns a wheel that fires by itself.
func New() *Wheel {
	w := &Wheel{start: time.Now()}
	w.idle.L = &w.mu
	return w
}

// NewManual returns a wheel whose clock moves only by Advance.
func NewManual() *Wheel {
	w := &Wheel{start: time.Now(), hand: true}
	w.idle.L = &w.mu
	return w
}

// Now is the time since the wheel was made, from the monotonic clock, plus one
// hour so that no time is ever near zero.
func (w *Wheel) Now() time.Duration {
	if w.hand {
		return time.Duration(w.manual.Load()) + time.Hour
	}
	return time.Since(w.start) + time.Hour
}

// Wall is the time of day.
func (w *Wheel) Wall() time.Time {
	if w.hand {
		return w.start.Add(time.Duration(w.manual.Load()))
	}
	return time.Now()
}

// Timer calls a function once at a time. The zero Timer is unusable; Init it.
type Timer struct {
	w          *Wheel
	fn         func()
	next, prev *Timer
	at         time.Duration // when asked to fire, for Pending
	level      int8          // -1 while not armed
	index      uint8
}

// Init sets what the timer does. fn is called without locks, from any
// goroutine; it must not block for long.
func (t *Timer) Init(w *Wheel, fn func()) { t.w, t.fn, t.level = w, fn, -1 }

// Reset arms the timer to fire at the given time of the wheel's clock (Now).
// It replaces an earlier setting. After Close nothing is armed.
func (t *Timer) Reset(at time.Duration) {
	w := t.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.closed {
		return
	}
	t.unlink()
	t.at = at
	tick := (int64(at) + int64(time.Millisecond) - 1) / int64(time.Millisecond)
	if !w.mu.running {
		// Skip the time in which nothing fires, lest a short time be measured
		// from a long-gone tick and land in a wide slot.
		now := w.tick()
		if n := w.next(); n != 0 && n <= now {
			now = n - 1
		}
		w.mu.now = max(w.mu.now, now)
	}
	if tick <= w.mu.now {
		tick = w.mu.now + 1
	}
	// The first level on which the slot, rounded up, is within one turn.
	lvl, shift := 0, 0
	pos := tick
	for lvl < levels-1 && pos > w.mu.now>>shift+slots-1 {
		lvl++
		shift += stepBits
		pos = (tick + (1<<shift - 1)) >> shift
	}
	pos = min(pos, w.mu.now>>shift+slots-1)
	i := pos & (slots - 1)
	t.level, t.index = int8(lvl), uint8(i)
	t.next, t.prev = w.mu.slot[lvl][i], nil
	if t.next != nil {
		t.next.prev = t
	}
	w.mu.slot[lvl][i] = t
	w.mu.used[lvl] |= 1 << i
	w.mu.n++
	if !w.mu.running {
		w.arm(pos << shift)
	}
}

// Stop disarms the timer. Its function may still be running, or about to.
func (t *Timer) Stop() {
	if t.w == nil {
		return
	}
	t.w.mu.Lock()
	t.unlink()
	t.w.mu.Unlock()
}

// Pending reports whether the timer is armed and for when.
func (t *Timer) Pending() (time.Duration, bool) {
	if t.w == nil {
		return 0, false
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	return t.at, t.level >= 0
}

// unlink takes t out of its slot. w.mu is held.
func (t *Timer) unlink() {
	if t.level < 0 {
		return
	}
	w := t.w
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.mu.slot[t.level][t.index] = t.next
		if t.next == nil {
			w.mu.used[t.level] &^= 1 << t.index
		}
	}
	if t.next != nil {
		t.next.prev = t.prev
	}
	t.next, t.prev, t.level = nil, nil, -1
	w.mu.n--
}

func (w *Wheel) tick() int64 { return int64(w.Now() / time.Millisecond) }

// arm sets the time.Timer for a tick, if that is sooner than it is set for. w.mu is held.
func (w *Wheel) arm(tick int64) {
	if w.hand || w.mu.closed || (w.mu.armed != 0 && w.mu.armed <= tick) {
		return
	}
	w.mu.armed = tick
	d := time.Duration(tick)*time.Millisecond - w.Now()
	if w.mu.timer == nil {
		w.mu.timer = time.AfterFunc(d, w.fire)
	} else {
		w.mu.timer.Reset(d)
	}
}

// next is the tick of the first slot in use, 0 if none. w.mu is held.
func (w *Wheel) next() int64 {
	var first int64
	for lvl := range levels {
		if w.mu.used[lvl] == 0 {
			continue
		}
		shift := stepBits * lvl
		cur := w.mu.now >> shift
		rot := bits.RotateLeft64(w.mu.used[lvl], -int((cur+1)&(slots-1)))
		t := (cur + 1 + int64(bits.TrailingZeros64(rot))) << shift
		if first == 0 || t < first {
			first = t
		}
	}
	return first
}

func (w *Wheel) fire() {
	w.mu.Lock()
	w.mu.armed = 0
	w.run(w.tick())
	w.mu.Unlock()
}

// run fires every slot up to tick. w.mu is held, and released around functions.
func (w *Wheel) run(tick int64) {
	if w.mu.running || w.mu.closed {
		return
	}
	w.mu.running = true
	for !w.mu.closed {
		next := w.next()
		if next == 0 || next > tick {
			break
		}
		if next > w.mu.now {
			w.mu.now = next
		}
		for lvl := range levels {
			shift := stepBits * lvl
			if next&(1<<shift-1) != 0 {
				break
			}
			i := next >> shift & (slots - 1)
			for !w.mu.closed {
				t := w.mu.slot[lvl][i]
				if t == nil {
					break
				}
				t.unlink()
				fn := t.fn
				w.mu.Unlock()
				fn()
				w.mu.Lock()
			}
		}
	}
	if tick > w.mu.now {
		w.mu.now = tick
	}
	w.mu.running = false
	w.idle.Broadcast()
	if n := w.next(); n != 0 {
		w.arm(n)
	}
}

// Advance moves a hand-driven clock and fires what has become due, in order.
func (w *Wheel) Advance(d time.Duration) {
	end := w.manual.Load() + int64(d)
	for {
		w.mu.Lock()
		next := w.next()
		w.mu.Unlock()
		at := (time.Duration(next)*time.Millisecond - time.Hour).Nanoseconds()
		if next == 0 || at > end {
			break
		}
		if at > w.manual.Load() {
			w.manual.Store(at)
		}
		w.mu.Lock()
		w.run(next)
		w.mu.Unlock()
	}
	w.manual.Store(end)
}

// Len is the number of armed timers.
func (w *Wheel) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.n
}

// Close disarms everything and waits for a function that is running. It must
// not be called from a timer's function.
func (w *Wheel) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.closed = true
	for lvl := range levels {
		for i := range slots {
			for w.mu.slot[lvl][i] != nil {
				w.mu.slot[lvl][i].unlink()
			}
		}
	}
	if w.mu.timer != nil {
		w.mu.timer.Stop()
	}
	for w.mu.running {
		w.idle.Wait()
	}
}
