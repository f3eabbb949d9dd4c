package vdso

import (
	"math/bits"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// clockCount is the number of clocks that the page has room for: CLOCK_REALTIME to
// CLOCK_TAI.
const clockCount = 12

const nsPerSec = 1e9

// rateShift is how far left rates are shifted.
const rateShift = 48

// A rate is nanoseconds per cycle of the counter, shifted left by rateShift.
type rate uint64

// after returns how many nanoseconds cycles take.
func (r rate) after(cycles uint64) int64 {
	hi, lo := bits.Mul64(uint64(r), cycles)
	return int64(hi<<(64-rateShift) | lo>>rateShift)
}

// The rates that a clock can go by. The values are those in the page.
const (
	rateNone = iota // the application makes the system call
	rateMono
	rateRaw
	rateCount
)

// A snapshot is the contents of the page. It does not change once it is made.
type snapshot struct {
	base     uint64 // counter at the base time
	maxDelta uint64 // how far the counter may be from base; 0: nothing is known
	rates    [rateCount]rate
	which    [clockCount]int   // the clock's rate
	ns       [clockCount]int64 // the clock at the base time
}

// read returns clock id at the counter value tsc; ok is false if the snapshot
// cannot say.
func (s *snapshot) read(id int32, tsc uint64) (ns int64, ok bool) {
	if s.which[id] == rateNone {
		return 0, false
	}
	// The counters of two CPUs may differ by some cycles.
	delta := tsc - s.base
	if tsc < s.base {
		if s.base-tsc > s.maxDelta {
			return 0, false
		}
		delta = 0
	}
	if delta > s.maxDelta {
		return 0, false
	}
	return s.ns[id] + s.rates[s.which[id]].after(delta), true
}

// Params reads the clocks and keeps the page of parameters. Its methods may be
// called by any goroutine.
type Params struct {
	host host // where the clocks come from
	none bool // the counter cannot be used
	log  func(format string, args ...any)
	page page

	current atomic.Pointer[snapshot]

	mu      sync.Mutex // held by the one who measures
	mono    track      // guarded by mu
	raw     track      // guarded by mu
	offsets [clockCount]offset
}

// Options say what the page tells beside the time.
type Options struct {
	// CPUs is how many CPUs applications see, which have the host's numbers. 0:
	// getcpu(2) always makes the system call.
	CPUs int
	// Log receives a line when the counter cannot be used. May be nil.
	Log func(format string, args ...any)
}

// NewParams returns a Params that keeps the page of parameters in mem, ParamsSize
// bytes of shared memory at a page boundary. It reads the host's list of clock
// sources in /sys, so it must be called before the sentry gives that up.
func NewParams(mem []byte, o Options) *Params {
	return newParams(mem, o, hostClocks{})
}

func newParams(mem []byte, o Options, h host) *Params {
	p := &Params{host: h, log: o.Log, page: newPage(mem)}
	if p.log == nil {
		p.log = func(string, ...any) {}
	}
	p.current.Store(&snapshot{})
	p.page.setResolutions(h)
	p.page.setCPUs(o.CPUs)
	if why := h.unusable(); why != "" {
		p.log("vdso: applications read clocks by system calls: %s", why)
		p.none = true
		return p
	}
	for i := range p.offsets {
		p.offsets[i].reset()
	}
	p.mu.Lock()
	p.measure()
	p.mu.Unlock()
	return p
}

// SetCPUs changes Options.CPUs.
func (p *Params) SetCPUs(n int) { p.page.setCPUs(n) }

// Now returns the time of clock id (CLOCK_REALTIME, CLOCK_MONOTONIC, ...) in
// nanoseconds, the same as an application reads. EINVAL for clocks of processes
// and threads, alarm clocks and what does not exist. It does not block but for measuring the clocks, some microseconds.
func (p *Params) Now(id int32) (int64, error) {
	if !served(id) {
		return 0, unix.EINVAL
	}
	if p.none {
		return p.host.now(id)
	}
	if ns, ok := p.current.Load().read(id, p.host.counter()); ok {
		return ns, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if ns, ok := p.current.Load().read(id, p.host.counter()); ok {
		return ns, nil
	}
	p.measure()
	if ns, ok := p.current.Load().read(id, p.host.counter()); ok {
		return ns, nil
	}
	return p.host.now(id)
}

// served says whether clock id is one that the page has.
func served(id int32) bool {
	switch id {
	case unix.CLOCK_REALTIME, unix.CLOCK_MONOTONIC, unix.CLOCK_MONOTONIC_RAW,
		unix.CLOCK_REALTIME_COARSE, unix.CLOCK_MONOTONIC_COARSE,
		unix.CLOCK_BOOTTIME, unix.CLOCK_TAI:
		return true
	}
	return false
}

// Limits of how long a snapshot is good for, in nanoseconds.
const (
	minBaseline = 2e6   // between two measurements, to know a rate
	maxValid    = 100e6 // the host's clocks may be slewed meanwhile
)

// measure reads the host's clocks and makes a new snapshot. p.mu is held.
func (p *Params) measure() {
	old := p.current.Load()
	mono, ok1 := sampleClock(p.host, unix.CLOCK_MONOTONIC)
	raw, ok2 := sampleClock(p.host, unix.CLOCK_MONOTONIC_RAW)
	if !ok1 || !ok2 {
		return
	}
	p.mono.add(mono)
	p.raw.add(raw)
	if p.mono.rate == 0 || p.raw.rate == 0 {
		p.publish(&snapshot{})
		return
	}
	valid := min(2*p.mono.baseline(), 2*p.raw.baseline(), maxValid)
	s := &snapshot{base: mono.tsc}
	s.maxDelta = uint64(float64(valid) / float64(p.mono.rate) * (1 << rateShift))

	// What applications have seen of a clock must not come again.
	follow := func(id int32, which int, now int64, r rate) bool {
		seen := old.shown(id, mono.tsc)
		s.which[id] = which
		s.ns[id] = max(now, seen)
		if back := seen - now; back > 0 {
			if back > valid/4 {
				return false
			}
			r -= rate(float64(r) * float64(back) / float64(valid))
		}
		s.rates[which] = r
		return true
	}
	rawNow := raw.ns + p.raw.rate.between(raw.tsc, mono.tsc)
	if !follow(unix.CLOCK_MONOTONIC, rateMono, mono.ns, p.mono.rate) ||
		!follow(unix.CLOCK_MONOTONIC_RAW, rateRaw, rawNow, p.raw.rate) {
		p.log("vdso: the host's monotonic clock went back")
		p.publish(&snapshot{})
		return
	}
	for id := range int32(clockCount) {
		switch id {
		case unix.CLOCK_REALTIME, unix.CLOCK_BOOTTIME, unix.CLOCK_TAI:
			off, ok := p.offsets[id].measure(p.host, id)
			if !ok {
				continue
			}
			s.which[id], s.ns[id] = rateMono, s.ns[unix.CLOCK_MONOTONIC]+off
		}
	}
	// The coarse clocks are as fine as the others: their last tick is not known.
	for coarse, fine := range map[int32]int32{
		unix.CLOCK_REALTIME_COARSE:  unix.CLOCK_REALTIME,
		unix.CLOCK_MONOTONIC_COARSE: unix.CLOCK_MONOTONIC,
	} {
		s.which[coarse], s.ns[coarse] = s.which[fine], s.ns[fine]
	}
	p.publish(s)
}

// shown is the latest time of clock id that an application may have read by s
// when the counter is tsc; 0 if it cannot have read it.
func (s *snapshot) shown(id int32, tsc uint64) int64 {
	if s.which[id] == rateNone || tsc < s.base {
		return 0
	}
	return s.ns[id] + s.rates[s.which[id]].after(min(tsc-s.base, s.maxDelta))
}

func (p *Params) publish(s *snapshot) {
	p.page.write(s)
	p.current.Store(s)
}
