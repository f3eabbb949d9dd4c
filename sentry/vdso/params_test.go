package vdso

import (
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeHost is a machine whose clocks go as the test says. Each reading of the
// counter or a clock takes some cycles.
type fakeHost struct {
	tsc      uint64
	mono     float64 // nanoseconds
	raw      float64
	freq     float64 // cycles per nanosecond
	slew     float64 // rate of the monotonic clock to the raw one
	real     int64   // offset of CLOCK_REALTIME
	rand     *rand.Rand
	readings int
}

func newFakeHost() *fakeHost {
	return &fakeHost{tsc: 1e12, mono: 5e12, raw: 6e12, freq: 2.445, slew: 1, real: 1.8e18, rand: rand.New(rand.NewPCG(1, 2))}
}

// pass lets cycles pass.
func (h *fakeHost) pass(cycles uint64) {
	h.tsc += cycles
	ns := float64(cycles) / h.freq
	h.raw += ns
	h.mono += ns * h.slew
}

// passNS lets nanoseconds pass.
func (h *fakeHost) passNS(ns float64) { h.pass(uint64(ns * h.freq)) }

func (h *fakeHost) counter() uint64 {
	h.pass(50)
	return h.tsc
}

func (h *fakeHost) now(id int32) (int64, error) {
	h.readings++
	h.pass(200 + h.rand.Uint64N(100))
	if h.rand.IntN(20) == 0 {
		h.pass(20000) // preempted
	}
	ns := h.exact(id)
	h.pass(200 + h.rand.Uint64N(100))
	return ns, nil
}

// exact is the time of a clock; no time passes.
func (h *fakeHost) exact(id int32) int64 {
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_REALTIME_COARSE:
		return int64(h.mono) + h.real
	case unix.CLOCK_MONOTONIC_RAW:
		return int64(h.raw)
	case unix.CLOCK_BOOTTIME:
		return int64(h.mono) + 1e9
	case unix.CLOCK_TAI:
		return int64(h.mono) + h.real + 37e9
	}
	return int64(h.mono)
}

func (h *fakeHost) resolution(int32) (int64, error) { return 1, nil }
func (h *fakeHost) unusable() string                { return "" }

var allClocks = []int32{
	unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW, unix.CLOCK_REALTIME_COARSE,
	unix.CLOCK_MONOTONIC_COARSE, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI,
}

// reader reads clocks and checks that they do not go back and are near the host's.
type reader struct {
	*testing.T
	p     *Params
	h     *fakeHost
	last  map[int32]int64
	worst int64
}

func (r *reader) read(id int32) {
	r.Helper()
	ns, err := r.p.Now(id)
	if err != nil {
		r.Fatal(err)
	}
	if last := r.last[id]; ns < last {
		r.Errorf("clock %d goes back by %d ns", id, last-ns)
	}
	r.last[id] = ns
	off := ns - r.h.exact(id)
	r.worst = max(r.worst, off, -off)
}

func newReader(t *testing.T, h *fakeHost) *reader {
	return &reader{T: t, p: newParams(make([]byte, ParamsSize), Options{Log: t.Logf}, h), h: h, last: make(map[int32]int64)}
}

func TestSteadyClock(t *testing.T) {
	h := newFakeHost()
	r := newReader(t, h)
	h.passNS(5e6)
	readings := 0
	for i := range 200000 {
		h.passNS(float64(h.rand.IntN(50000)))
		if i == 10000 {
			r.worst, readings = 0, h.readings
		}
		r.read(allClocks[i%len(allClocks)])
	}
	if r.worst > 300 {
		t.Errorf("off by %d ns", r.worst)
	}
	// Nearly all are answered without the host: at most some 50 readings for
	// each tenth of a second.
	if n, limit := h.readings-readings, int(h.mono-5e12)/1e8*50+100; n > limit {
		t.Errorf("the host's clocks were read %d times, limit %d", n, limit)
	}
}

func TestSlewedClock(t *testing.T) {
	h := newFakeHost()
	r := newReader(t, h)
	for i := range 400000 {
		if i%10000 == 0 {
			h.slew = 1 + (h.rand.Float64()-0.5)*10e-6 // NTP
		}
		h.passNS(float64(h.rand.IntN(50000)))
		r.read(allClocks[i%len(allClocks)])
		if i == 1000 {
			r.worst = 0
		}
	}
	if r.worst > 1500 {
		t.Errorf("off by %d ns", r.worst)
	}
}

func TestIdleClock(t *testing.T) {
	h := newFakeHost()
	r := newReader(t, h)
	for range 200 {
		h.passNS(h.rand.Float64() * 1e12)
		r.worst = 0
		for range 50 {
			h.passNS(float64(h.rand.IntN(1000)))
			r.read(allClocks[h.rand.IntN(len(allClocks))])
		}
		if r.worst > 500 {
			t.Fatalf("off by %d ns", r.worst)
		}
	}
}

func TestClockIsSet(t *testing.T) {
	h := newFakeHost()
	p := newParams(make([]byte, ParamsSize), Options{}, h)
	for i, step := range []int64{1e9, -3600e9, 40000, -40000} {
		for range 100 {
			h.passNS(1e7)
			p.Now(unix.CLOCK_REALTIME)
		}
		h.real += step
		h.passNS(maxValid + 1e6)
		ns, err := p.Now(unix.CLOCK_REALTIME)
		if err != nil {
			t.Fatal(err)
		}
		if off := ns - h.exact(unix.CLOCK_REALTIME); max(off, -off) > 1000 {
			t.Errorf("step %d: off by %d ns", i, off)
		}
	}
}

// TestCounterReset is a virtual machine that moves to another host.
func TestCounterReset(t *testing.T) {
	for _, to := range []uint64{1000, 1 << 60} {
		h := newFakeHost()
		r := newReader(t, h)
		for range 1000 {
			h.passNS(1e6)
			r.read(unix.CLOCK_MONOTONIC)
		}
		h.tsc = to
		h.freq = 3.1
		for range 1000 {
			h.passNS(1e5)
			r.read(unix.CLOCK_MONOTONIC)
		}
		r.worst = 0
		for range 1000 {
			h.passNS(1e5)
			r.read(unix.CLOCK_MONOTONIC)
		}
		if r.worst > 1000 {
			t.Errorf("counter set to %d: off by %d ns", to, r.worst)
		}
	}
}

func TestUnknownClocks(t *testing.T) {
	p := newParams(make([]byte, ParamsSize), Options{}, newFakeHost())
	for _, id := range []int32{-1, -6, 2, 3, 8, 9, 10, 12, 1 << 30} {
		if ns, err := p.Now(id); err != unix.EINVAL {
			t.Errorf("clock %d: %d, %v", id, ns, err)
		}
	}
}

// noCounter is a host whose counter cannot be used.
type noCounter struct{ *fakeHost }

func (noCounter) unusable() string { return "test" }

func TestNoCounter(t *testing.T) {
	h := newFakeHost()
	mem := make([]byte, ParamsSize)
	logged := false
	p := newParams(mem, Options{Log: func(string, ...any) { logged = true }}, noCounter{h})
	for _, id := range allClocks {
		h.passNS(1e9)
		ns, err := p.Now(id)
		if off := h.exact(id) - ns; err != nil || off > 1000 {
			t.Errorf("clock %d: %v, off by %d", id, err, off)
		}
		if newPage(mem).p.clocks[id].rate != rateNone {
			t.Errorf("applications read clock %d without a system call", id)
		}
	}
	if !logged {
		t.Error("nothing in the log")
	}
}

func BenchmarkNow(b *testing.B) {
	p := NewParams(make([]byte, ParamsSize), Options{})
	b.ReportAllocs()
	for b.Loop() {
		p.Now(unix.CLOCK_MONOTONIC)
	}
}
