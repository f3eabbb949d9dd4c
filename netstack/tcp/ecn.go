package tcp

import "casemate/netstack/wire"

// The ECN field, the low bits of the type of service (RFC 3168 section 5).
const (
	ecnMask = 3
	ecnECT0 = 2
	ecnCE   = 3
)

// ecn is a connection's explicit congestion notification (RFC 3168).
type ecn struct {
	ok   bool // both sides do it
	seen bool // data has come with ECT
	// demandCWR: congestion has been experienced towards us, and is echoed until the peer
	// says that it has reduced its window.
	demandCWR bool
	// queueCWR: we have reduced the window, and say so with the next new data.
	queueCWR bool
}

// ecnSYN are the flags of our SYN or SYN-ACK. A SYN that is sent again does without, as
// somebody on the way may drop it for them (section 6.1.1.1).
func (e *Endpoint) ecnSYN(again bool) uint8 {
	p := &e.proto.Params
	switch {
	case e.state == SynRecv:
		if e.ecn.ok {
			return wire.ECE
		}
	case p.ECN.Get() == 1 && !(again && p.ECNFallback.Bool()):
		e.ecn.ok = true
		return wire.ECE | wire.CWR
	default:
		e.ecn.ok = false
	}
	return 0
}

// synAck takes the flags with which the peer answers our SYN.
func (c *ecn) synAck(flags uint8) {
	c.ok = c.ok && flags&(wire.ECE|wire.CWR|wire.ACK) == wire.ECE|wire.ACK
}

// ecnOutput sets the flags of a segment of ours with n bytes of data, and returns what its
// IP header says: ECT for new data alone (section 6.1.4 and 6.1.5).
func (e *Endpoint) ecnOutput(f *wire.TCPFields, n int) (tos uint8) {
	c := &e.ecn
	if !c.ok || f.Flags&wire.SYN != 0 {
		return 0
	}
	if n > 0 && !before(f.Seq, e.snd.nxt) {
		tos = ecnECT0
		if c.queueCWR {
			c.queueCWR = false
			f.Flags |= wire.CWR
		}
	}
	if c.demandCWR {
		f.Flags |= wire.ECE
	}
	return tos
}

// ecnInput looks at the IP header of data (section 6.1.3).
func (e *Endpoint) ecnInput(g *segment) {
	c := &e.ecn
	if !c.ok || g.len == 0 {
		return
	}
	switch g.p.TOS & ecnMask {
	case 0:
		if c.seen { // probably sent again: the peer waits for the acknowledgement
			e.quickMode(2)
		}
	case ecnCE:
		if !c.demandCWR {
			e.quickMode(2)
			c.demandCWR = true
		}
		c.seen = true
	default:
		c.seen = true
	}
}

// ecnPeerReduced takes CWR: the peer has heard our echo. Its window may be of a single
// segment now, so it gets an ACK at once.
func (e *Endpoint) ecnPeerReduced(g *segment) {
	if e.ecn.ok && g.flags&wire.CWR != 0 {
		e.ecn.demandCWR = false
		if g.len > 0 {
			e.rcv.ackNow = true
		}
	}
}

// enterCWR reduces the window as after a loss, once in a round trip (section 6.1.2).
func (e *Endpoint) enterCWR() {
	if r := &e.rec; r.ca < caCWR {
		e.beginReduction()
		r.canUndo = false
		r.ca = caCWR
		e.conserve()
	}
}
