package clock

import (
	"math/rand"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMonotonicIsTheHosts(t *testing.T) {
	before, err := Host(unix.CLOCK_MONOTONIC)
	if err != nil {
		t.Fatal(err)
	}
	got := Monotonic()
	after, _ := Host(unix.CLOCK_MONOTONIC)
	const slack = 1e6 // start's two reads are not simultaneous
	if got < before-slack || got > after+slack {
		t.Errorf("Monotonic() = %d, host says %d to %d", got, before, after)
	}
}

func TestTimersRunInOrder(t *testing.T) {
	q := NewQueue()
	defer q.Close()
	const n = 200
	order := make(chan int, n)
	now := Monotonic()
	timers := make([]Timer, n)
	for _, i := range rand.Perm(n) {
		timers[i].Func = func() { order <- i }
		q.Set(&timers[i], now+20e6+int64(i)*1000)
	}
	cancelled := map[int]bool{}
	for i := 0; i < n; i += 7 {
		if !q.Cancel(&timers[i]) {
			t.Fatalf("timer %d was not armed", i)
		}
		cancelled[i] = true
	}
	for i := 0; i < n; i++ {
		if cancelled[i] {
			continue
		}
		if got := <-order; got != i {
			t.Fatalf("timer %d ran when %d was due", got, i)
		}
		if Monotonic() < now+20e6+int64(i)*1000 {
			t.Fatalf("timer %d ran early", i)
		}
	}
	if q.Cancel(&timers[1]) {
		t.Error("Cancel found a timer armed that has run")
	}
}

func TestSetMovesTimer(t *testing.T) {
	q := NewQueue()
	defer q.Close()
	ran := make(chan int64, 2)
	var tm Timer
	tm.Func = func() { ran <- Monotonic() }
	q.Set(&tm, Monotonic()+3600e9)
	want := Monotonic() + 2e6
	q.Set(&tm, want)
	if at := <-ran; at < want {
		t.Errorf("ran %d ns early", want-at)
	}
	if _, armed := q.Armed(&tm); armed {
		t.Error("armed after it has run")
	}
}

func BenchmarkSleep100us(b *testing.B) {
	q := NewQueue()
	defer q.Close()
	c := make(chan struct{}, 1)
	tm := Timer{Func: func() { c <- struct{}{} }}
	for b.Loop() {
		q.Set(&tm, Monotonic()+100e3)
		<-c
	}
}
