package tcp

import (
	"strings"
	"testing"
	"time"
)

// avoiding is a connection in congestion avoidance with CUBIC that has lost something before.
func avoiding(t *testing.T) (*peer, *Endpoint) {
	p := newPeer(t)
	e := p.accepted()
	t.Cleanup(e.Close)
	e.cc.ssthresh, e.cc.cubic.wMax = 5, 20
	p.send(e, strings.Repeat("x", 10_000))
	p.w.Advance(10 * time.Millisecond)
	p.seg(ack, 1, 10_001, 65535, "")
	if e.cc.cubic.epoch == 0 {
		t.Fatal("congestion avoidance has not begun")
	}
	p.out = nil
	return p, e
}

// TestCubicIdle does not let the window grow for the time in which nothing was sent.
func TestCubicIdle(t *testing.T) {
	p, e := avoiding(t)
	was := p.w.Now() - e.cc.cubic.epoch
	p.w.Advance(time.Hour)
	p.send(e, "x")
	if d := p.w.Now() - e.cc.cubic.epoch; d > was+time.Second {
		t.Errorf("congestion avoidance lasts %v, not %v", d, was)
	}
}

// TestCubicTimeout begins anew after a retransmission timeout (RFC 9438 section 4.8).
func TestCubicTimeout(t *testing.T) {
	p, e := avoiding(t)
	p.send(e, "x")
	p.w.Advance(time.Second)
	if e.rec.ca != caLoss {
		t.Fatal("no timeout")
	}
	p.is("largest window", e.cc.cubic, cubic{})
	p.is("window", e.cc.cwnd, 1)
}
