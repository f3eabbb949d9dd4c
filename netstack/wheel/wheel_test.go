package wheel

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestBounds arms timers for random times and checks that each fires once, not
// early, and not later than an eighth of its time and a tick.
func TestBounds(t *testing.T) {
	w := NewManual()
	const n = 2000
	fired := 0
	for range n {
		d := time.Duration(rand.Int64N(int64(time.Hour))) >> rand.IntN(30)
		start := w.Now()
		var x Timer
		x.Init(w, func() {
			fired++
			if took := w.Now() - start; took < d || took > d+d/7+2*time.Millisecond {
				t.Errorf("asked for %v, fired after %v", d, took)
			}
		})
		x.Reset(start + d)
		w.Advance(time.Duration(rand.Int64N(int64(time.Second))))
	}
	w.Advance(2 * time.Hour)
	if fired != n || w.Len() != 0 {
		t.Errorf("%d of %d fired, %d left", fired, n, w.Len())
	}
}

func TestStopAndReset(t *testing.T) {
	w := NewManual()
	n := 0
	var x Timer
	x.Init(w, func() { n++ })
	x.Reset(w.Now() + time.Second)
	x.Stop()
	w.Advance(2 * time.Second)
	if n != 0 {
		t.Error("a stopped timer fired")
	}
	x.Reset(w.Now() + time.Second)
	x.Reset(w.Now() + 3*time.Second)
	w.Advance(2 * time.Second)
	if n != 0 {
		t.Error("fired at the time that was replaced")
	}
	w.Advance(2 * time.Second)
	if n != 1 {
		t.Errorf("fired %d times", n)
	}
}

// TestByItself lets a wheel run, and closes it while timers are armed.
func TestByItself(t *testing.T) {
	w := New()
	c := make(chan struct{})
	var x, y Timer
	x.Init(w, func() { close(c) })
	y.Init(w, func() { t.Error("fired after Close") })
	y.Reset(w.Now() + time.Hour)
	x.Reset(w.Now() + 5*time.Millisecond)
	<-c
	w.Close()
	if w.Len() != 0 {
		t.Error("timers left")
	}
	y.Reset(w.Now())
}

func BenchmarkReset(b *testing.B) {
	w := NewManual()
	var l [1000]Timer
	for i := range l {
		l[i].Init(w, func() {})
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l[i%len(l)].Reset(w.Now() + time.Duration(i%100)*time.Second)
	}
}
