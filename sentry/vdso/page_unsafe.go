package vdso

import (
	"sync/atomic"
	"unsafe"
)

// A clockEntry is a clock in the page.
type clockEntry struct {
	rate       uint64
	sec, nsec  uint64
	resolution uint64
}

// layout is the page of parameters as the image's code knows it.
type layout struct {
	seq      uint32
	_        uint32
	base     uint64
	maxDelta uint64
	mono     uint64
	raw      uint64
	cpus     uint64
	_        [2]uint64
	clocks   [clockCount]clockEntry
}

// A page is the page of parameters. What it is written with must be serialised.
type page struct{ p *layout }

func newPage(mem []byte) page {
	if len(mem) < ParamsSize {
		panic("vdso: the page of parameters is too small")
	}
	return page{(*layout)(unsafe.Pointer(&mem[0]))}
}

// setResolutions stores what clock_getres(2) says, 0 for clocks that the page does
// not have.
func (pg page) setResolutions(h host) {
	for id := range pg.p.clocks {
		if !served(int32(id)) {
			continue
		}
		if ns, err := h.resolution(int32(id)); err == nil && ns < nsPerSec {
			atomic.StoreUint64(&pg.p.clocks[id].resolution, uint64(ns))
		}
	}
}

func (pg page) setCPUs(n int) { atomic.StoreUint64(&pg.p.cpus, uint64(n)) }

// write stores s. Applications that read meanwhile notice it by the sequence
// number. The stores are atomic, and thereby ordered.
func (pg page) write(s *snapshot) {
	p := pg.p
	atomic.AddUint32(&p.seq, 1)
	atomic.StoreUint64(&p.base, s.base)
	atomic.StoreUint64(&p.maxDelta, s.maxDelta)
	atomic.StoreUint64(&p.mono, uint64(s.rates[rateMono]))
	atomic.StoreUint64(&p.raw, uint64(s.rates[rateRaw]))
	for id := range p.clocks {
		c := &p.clocks[id]
		which := s.which[id]
		if s.ns[id] < 0 {
			which = rateNone // before 1970
		}
		atomic.StoreUint64(&c.rate, uint64(which))
		atomic.StoreUint64(&c.sec, uint64(s.ns[id])/nsPerSec)
		atomic.StoreUint64(&c.nsec, uint64(s.ns[id])%nsPerSec)
	}
	atomic.AddUint32(&p.seq, 1)
}
