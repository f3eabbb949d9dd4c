package tcp

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/lossy"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// lossyPair is two stacks, 10.0.0.1 and 10.0.0.2, joined by a link that is as
// bad as c says, on a clock that is driven by hand.
func lossyPair(t testing.TB, c lossy.Config) (*wheel.Wheel, *Protocol, *Protocol) {
	w := wheel.NewManual()
	b := new(backlog.Set)
	x, y := lossy.New(w, c)
	var p [2]*Protocol
	for k, l := range []*lossy.Link{x, y} {
		s := ip.New(ip.Options{Wheel: w, Backlog: b})
		i, err := s.AddInterface("net0", l)
		if err != nil {
			t.Fatal(err)
		}
		a := netip.AddrFrom4([4]byte{10, 0, 0, byte(k + 1)})
		if err := s.AddAddress(i, ip.Address{Prefix: netip.PrefixFrom(a, 24)}); err != nil {
			t.Fatal(err)
		}
		s.SetUp(i, true)
		p[k] = New(s)
		t.Cleanup(s.Close)
	}
	return w, p[0], p[1]
}

// exchange connects, sends data both ways at once, closes and checks that all
// arrives. It returns how long that took by the link's clock.
func exchange(t *testing.T, w *wheel.Wheel, cp, sp *Protocol, data []byte, limit time.Duration) time.Duration {
	t.Helper()
	l, _ := listen(t, sp, unix.AF_INET, "10.0.0.2")
	c := cp.NewEndpoint(unix.AF_INET)
	start := w.Now()
	if err := c.Connect(l.LocalAddr()); err != unix.EINPROGRESS && err != nil {
		t.Fatal("connect:", err)
	}
	ends := []*Endpoint{c, nil}
	var got [2]bytes.Buffer
	sent := [2]int{}
	eof := [2]bool{}
	buf := make([]byte, 1<<16)
	for !eof[0] || !eof[1] {
		if w.Now()-start > limit {
			for k, e := range ends {
				if e != nil {
					t.Logf("%d: sent %d, got %d, %s", k, sent[k], got[k].Len(), e.dump())
				}
			}
			t.Fatal("no end after ", limit)
		}
		if ends[1] == nil {
			if e, _, err := l.AcceptTCP(); err == nil {
				ends[1] = e
			}
		}
		for k, e := range ends {
			if e == nil {
				continue
			}
			for sent[k] < len(data) {
				var m sock.Msg
				n, err := e.Send(&sock.Iovec{V: [][]byte{data[sent[k]:]}}, len(data)-sent[k], &m)
				if err == unix.EAGAIN {
					break
				} else if err != nil {
					t.Fatal("send:", err)
				}
				if sent[k] += n; sent[k] == len(data) {
					e.Shutdown(unix.SHUT_WR)
				}
			}
			for !eof[k] {
				var m sock.Msg
				n, err := e.Recv(&sock.Iovec{V: [][]byte{buf}}, len(buf), &m)
				if err == unix.EAGAIN {
					break
				} else if err != nil {
					t.Fatal("recv:", err)
				}
				got[k].Write(buf[:n])
				eof[k] = n == 0
			}
		}
		w.Advance(time.Millisecond)
	}
	took := w.Now() - start
	for k := range got {
		if !bytes.Equal(got[k].Bytes(), data) {
			t.Fatalf("data differ at %d: %d of %d bytes", k, got[k].Len(), len(data))
		}
	}
	i := ends[0].Info()
	t.Logf("%v; retransmitted %d of %d segments, srtt %d us, cwnd %d", took, i.Total_retrans, i.Segs_out, i.Rtt, i.Snd_cwnd)
	for _, e := range ends {
		e.Close()
	}
	w.Advance(3 * time.Minute)
	l.Close()
	for k, p := range []*Protocol{cp, sp} {
		if n := p.memory.Load(); n != 0 {
			t.Errorf("%d: %d bytes still charged", k, n)
		}
		if n := p.timeWaits.Load(); n != 0 {
			t.Errorf("%d: %d connections in TIME-WAIT", k, n)
		}
	}
	if n := w.Len(); n != 0 {
		t.Errorf("%d timers left", n)
	}
	return took
}

func TestLossyLinks(t *testing.T) {
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	const ms = time.Millisecond
	for _, c := range []lossy.Config{
		{},
		{Delay: 10 * ms},
		{Delay: 10 * ms, Loss: 0.01},
		{Delay: 10 * ms, Loss: 0.1},
		{Delay: 10 * ms, Reorder: 0.2},
		{Delay: 10 * ms, Duplicate: 0.2},
		{Delay: 10 * ms, Corrupt: 0.05},
		{Delay: 50 * ms, Loss: 0.02, Reorder: 0.05, Duplicate: 0.02, Corrupt: 0.01},
		{Delay: 5 * ms, Rate: 1250000, Queue: 50},
		{Delay: 1 * ms, MTU: 576, Loss: 0.02},
		{Loss: 0.05},
	} {
		c.Seed = 1
		name := fmt.Sprintf("delay=%v,loss=%v,reorder=%v,dup=%v,corrupt=%v,rate=%v,mtu=%d", c.Delay, c.Loss, c.Reorder, c.Duplicate, c.Corrupt, c.Rate, c.MTU)
		t.Run(name, func(t *testing.T) {
			w, a, b := lossyPair(t, c)
			exchange(t, w, a, b, data, 5*time.Minute)
		})
		t.Run("bbr,"+name, func(t *testing.T) {
			w, a, b := lossyPair(t, c)
			for _, p := range []*Protocol{a, b} {
				if err := p.Params.SetCongestion("bbr"); err != nil {
					t.Fatal(err)
				}
			}
			exchange(t, w, a, b, data, 5*time.Minute)
		})
		t.Run("nosack,"+name, func(t *testing.T) {
			w, a, b := lossyPair(t, c)
			a.Params.SACK.Set(0)
			a.Params.Timestamps.Set(0)
			exchange(t, w, a, b, data, 3*time.Hour)
		})
	}
}
