package udp

import (
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// maxStamps bounds the error queue when time stamps come into it.
const maxStamps = 256

// NumberStamps begins to count the datagrams that time stamps are about.
func (e *Endpoint) NumberStamps(bool) error {
	e.mu.Lock()
	e.stampKey = 0
	e.mu.Unlock()
	return nil
}

// stamps are the time stamps that a datagram is to get.
type stamps struct {
	want  uint32 // of sock.StampSent
	key   uint32
	frame []byte // the datagram as it is sent; nil if that is not wanted
	src   sock.Addr
}

// prepareStamps begins the stamps of p, which has all but its network header. e.mu is held.
func (e *Endpoint) prepareStamps(p *pkt.Packet, m *sock.Msg) (s stamps) {
	if s.want = e.opts.Stamps(m); s.want == 0 {
		return s
	}
	flags := e.opts.Stamping.Load()
	if flags&unix.SOF_TIMESTAMPING_OPT_ID != 0 {
		s.key = e.stampKey
		e.stampKey++
	}
	if flags&unix.SOF_TIMESTAMPING_OPT_TSONLY == 0 {
		s.frame = e.proto.ip.Frame(p)
		if p.Src.Is6() || flags&unix.SOF_TIMESTAMPING_OPT_CMSG != 0 {
			s.src.Addr = p.Src
		}
	}
	return s
}

// stamp puts a stamp into the error queue, if it is wanted. e.mu is held.
func (e *Endpoint) stamp(s *stamps, flag, kind uint32) {
	if s.want&flag == 0 || len(e.errs) >= maxStamps {
		return
	}
	q := queuedErr{err: e.opts.StampErr(kind, s.key), data: s.frame, at: e.proto.ip.Wheel.Wall().UnixNano()}
	q.err.Offender = s.src
	e.errs = append(e.errs, q)
	e.stamped = true
}

// tellStamps tells of new stamps, if there are any. e.mu is not held.
func (e *Endpoint) tellStamps() {
	e.mu.Lock()
	stamped := e.stamped
	e.stamped = false
	e.mu.Unlock()
	if stamped {
		e.tell(unix.POLLERR)
	}
}
