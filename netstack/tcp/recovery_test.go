package tcp

import (
	"testing"
	"time"

	"casemate/netstack/wire"
)

// TestRackEcho takes an acknowledgement with the echo of a timestamp from before a retransmission for
// one of the original (RFC 8985 section 6.2 step 2).
func TestRackEcho(t *testing.T) {
	p := newPeer(t)
	e := p.accepted()
	defer e.Close()
	p.ts, e.tsOK = true, true
	p.send(e, "x")
	sent, echo := p.w.Now(), p.echo
	p.w.Advance(time.Second)
	if e.info.totalRetrans == 0 {
		t.Fatal("not sent again")
	}
	p.echo = echo
	p.w.Advance(20 * time.Millisecond) // as long as a round trip
	p.seg(wire.ACK, 1, 2, 65535, "")
	if e.rec.rackXmit > sent {
		t.Error("RACK has taken it for an acknowledgement of the retransmission")
	}
}
