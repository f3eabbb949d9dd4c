package tcp

import (
	"testing"
	"time"

	"casemate/netstack/sock"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// FuzzConnection plays a sequence of socket calls and of segments whose numbers
// lie near the connection's own, and checks that nothing panics, that counts
// stay consistent and that nothing is left in the end.
func FuzzConnection(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Add([]byte{3, 16, 0, 0, 100, 0, 0, 9, 20, 3, 16, 10, 0, 4, 0, 50, 8, 0, 9, 200})
	f.Fuzz(func(t *testing.T, in []byte) {
		p := newPeer(t)
		e := p.accepted()
		next := func() byte {
			if len(in) == 0 {
				return 0
			}
			b := in[0]
			in = in[1:]
			return b
		}
		data := make([]byte, 70000)
		for len(in) > 0 && e != nil {
			if len(p.out) > 100 {
				p.out = nil
			}
			switch next() % 14 {
			case 0, 1, 2:
				n := int(next()) * int(next())
				var m sock.Msg
				m.Flags = []int{0, 0, 0, unix.MSG_OOB, unix.MSG_MORE}[next()%5]
				e.Send(&sock.Iovec{V: [][]byte{data[:n]}}, n, &m)
			case 3, 4, 5, 6:
				flags := next()
				e.lock()
				seq, ack := e.rcv.nxt-p.iss, e.snd.una-p.irs
				out := e.snd.nxt - e.snd.una
				e.mu.Unlock()
				seq += uint32(int8(next())) * 5
				if a := uint32(next()); a < 128 {
					ack += a
				} else {
					ack += out * (a - 128) / 100
				}
				var opts []byte
				if n := int(next() % 4); n > 0 {
					b := make([]byte, 4+8*n)
					var bl []wire.SACKBlock
					for range n {
						s := p.irs + ack + uint32(next())*40
						bl = append(bl, wire.SACKBlock{Start: s, End: s + uint32(next())*40})
					}
					wire.PutSACK(b, bl)
					opts = b
				}
				p.seg(flags, seq, ack, uint16(next())<<8, string(data[:int(next())*5]), opts...)
			case 7, 8:
				n := int(next()) * 300
				var m sock.Msg
				m.Flags = []int{0, 0, 0, unix.MSG_OOB, unix.MSG_PEEK, unix.MSG_TRUNC}[next()%6]
				e.Recv(&sock.Iovec{V: [][]byte{data[:min(n, len(data))]}}, min(n, len(data)), &m)
			case 9, 10:
				p.w.Advance(time.Duration(next()) * time.Duration(next()) * time.Millisecond)
			case 11:
				e.Shutdown(int(next() % 3))
			case 12:
				switch next() % 6 {
				case 0:
					e.SetCork(next()%2 == 0)
				case 1:
					e.SetNoDelay(next()%2 == 0)
				case 2:
					e.Options().SetRcvBuf(int(next())*200, false)
				case 3:
					e.Options().SetSndBuf(int(next())*200, false)
				case 4:
					e.Options().OOBInline.Store(next()%2 == 0)
				case 5:
					e.SetKeepAlive(true)
				}
			case 13:
				if next() > 250 {
					e.Close()
					e = nil
				}
			}
			if e != nil {
				consistent(t, e)
			}
		}
		if e != nil {
			e.Close()
		}
		p.w.Advance(3 * time.Hour)
		if n := p.p.memory.Load(); n != 0 {
			t.Errorf("%d bytes still charged", n)
		}
		if n := p.w.Len(); n != 0 {
			t.Errorf("%d timers left", n)
		}
	})
}

// consistent checks an endpoint's counts against its queues.
func consistent(t *testing.T, e *Endpoint) {
	e.Readiness()
	e.lock()
	defer e.mu.Unlock()
	r, s := &e.rec, &e.snd
	var out, sacked, lost, retrans uint32
	for i := range r.sent.len() {
		f := r.sent.at(i)
		if !before(f.seq, f.end) || f.n == 0 {
			t.Fatalf("record %d of %d: %+v", i, r.sent.len(), f)
		}
		if i > 0 && r.sent.at(i-1).end != f.seq {
			t.Fatalf("gap in the scoreboard before %d", i)
		}
		out += f.n
		if f.flags&sentSacked != 0 {
			sacked += f.n
		}
		if f.flags&sentLost != 0 {
			lost += f.n
		}
		if f.flags&sentRetrans != 0 {
			retrans += f.n
		}
	}
	if e.state != Close && (out != r.packetsOut || sacked != r.sackedOut || lost != r.lostOut || retrans != r.retransOut) {
		t.Fatalf("counts %d %d %d %d, are %d %d %d %d", r.packetsOut, r.sackedOut, r.lostOut, r.retransOut, out, sacked, lost, retrans)
	}
	if n := r.sent.len(); n > 0 && (r.sent.at(n-1).end != s.nxt || before(r.sent.at(0).seq, s.una)) {
		t.Fatalf("scoreboard [%d,%d), una %d nxt %d", r.sent.at(0).seq, r.sent.at(n-1).end, s.una, s.nxt)
	}
	if e.state != Close && s.q.size != int(s.end-s.base) {
		t.Fatalf("queue of %d, [%d,%d)", s.q.size, s.base, s.end)
	}
	cost := 0
	for i := range e.rcv.q.f.n {
		cost += e.rcv.q.f.at(i).Cost()
	}
	if cost != e.rcv.q.cost {
		t.Fatalf("receive queue costs %d, charged %d", cost, e.rcv.q.cost)
	}
	cost = 0
	last := e.rcv.nxt
	for i := range e.rcv.ooo {
		o := &e.rcv.ooo[i]
		cost += o.q.cost
		if !after(o.seq, last) || int(o.end-o.seq) != o.q.size {
			t.Fatalf("out of order: [%d,%d) size %d after %d", o.seq, o.end, o.q.size, last)
		}
		last = o.end
	}
	if cost != e.rcv.oooCost {
		t.Fatalf("out-of-order queue costs %d, charged %d", cost, e.rcv.oooCost)
	}
	if n := e.rcv.q.cost + e.rcv.oooCost + s.q.cost; int64(n) != e.proto.memory.Load() {
		t.Fatalf("charged %d, is %d", e.proto.memory.Load(), n)
	}
}
