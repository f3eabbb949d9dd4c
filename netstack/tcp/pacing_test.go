package tcp

import (
	"testing"
	"time"

	"casemate/netstack/link/lossy"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// bulk connects from cp to sp, sends as much as goes for a time, and returns how many bytes have
// been received, and the sender. set is called with it first.
func bulk(t *testing.T, w *wheel.Wheel, cp, sp *Protocol, d time.Duration, set func(*Endpoint)) (int, *Endpoint) {
	l, _ := listen(t, sp, unix.AF_INET, "10.0.0.2")
	t.Cleanup(l.Close)
	c := cp.NewEndpoint(unix.AF_INET)
	t.Cleanup(c.Close)
	set(c)
	if err := c.Connect(l.LocalAddr()); err != unix.EINPROGRESS && err != nil {
		t.Fatal("connect:", err)
	}
	var s *Endpoint
	for s == nil {
		w.Advance(time.Millisecond)
		s, _, _ = l.AcceptTCP()
	}
	t.Cleanup(s.Close)
	buf := make([]byte, 1<<16)
	got := 0
	for end := w.Now() + d; w.Now() < end; w.Advance(time.Millisecond) {
		for {
			var m sock.Msg
			if _, err := c.Send(&sock.Iovec{V: [][]byte{buf}}, len(buf), &m); err != nil {
				break
			}
		}
		for {
			var m sock.Msg
			n, err := s.Recv(&sock.Iovec{V: [][]byte{buf}}, len(buf), &m)
			if err != nil {
				break
			}
			got += n
		}
	}
	return got, c
}

// TestMaxPacingRate has SO_MAX_PACING_RATE bound what is sent, evenly over time, with any algorithm.
func TestMaxPacingRate(t *testing.T) {
	for _, algorithm := range Algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			const rate = 1 << 20
			var w *wheel.Wheel
			var at time.Duration
			burst, most := 0, 0
			w, a, b := lossyPair(t, lossy.Config{Delay: 5 * time.Millisecond, Drop: func(p *pkt.Packet) bool {
				if w.Now() != at {
					at, burst = w.Now(), 0
				}
				burst += p.Len()
				most = max(most, burst)
				return false
			}})
			got, c := bulk(t, w, a, b, 4*time.Second, func(e *Endpoint) {
				if err := e.SetCongestion(algorithm); err != nil {
					t.Fatal(err)
				}
				e.opts.MaxPacingRate.Store(rate)
			})
			if got < 4*rate*9/10 || got > 4*rate {
				t.Errorf("%d bytes in 4 s at %d a second", got, rate)
			}
			if most > 3*2*1500 {
				t.Errorf("%d bytes at once", most)
			}
			i := c.Info()
			if i.Pacing_rate != rate || i.Max_pacing_rate != rate {
				t.Errorf("TCP_INFO tells of a pacing rate of %d and at most %d", i.Pacing_rate, i.Max_pacing_rate)
			}
			if i.Delivery_rate < rate*9/10 || i.Delivery_rate > rate*11/10 {
				t.Errorf("TCP_INFO tells of a delivery rate of %d", i.Delivery_rate)
			}
		})
	}
}

// TestDeliveryRate measures a bottleneck, and knows when it is the application that is slow.
func TestDeliveryRate(t *testing.T) {
	const rate = 1 << 20
	w, a, b := lossyPair(t, lossy.Config{Delay: 5 * time.Millisecond, Rate: rate, Queue: 30})
	_, c := bulk(t, w, a, b, 2*time.Second, func(*Endpoint) {})
	i := c.Info()
	if i.Delivery_rate < rate*9/10 || i.Delivery_rate > rate*11/10 || i.DeliveryLimited {
		t.Errorf("%d bytes a second, limited %t", i.Delivery_rate, i.DeliveryLimited)
	}
	w.Advance(10 * time.Second)
	for range 10 { // one byte in a round trip is slower, and no news of the path
		var m sock.Msg
		if _, err := c.Send(&sock.Iovec{V: [][]byte{{1}}}, 1, &m); err != nil {
			t.Fatal("send:", err)
		}
		w.Advance(100 * time.Millisecond)
	}
	if i = c.Info(); i.Delivery_rate < rate*9/10 {
		t.Errorf("%d bytes a second after the application has sent little", i.Delivery_rate)
	}
}

// TestBBR fills a bottleneck in spite of losses, and without a queue to speak of.
func TestBBR(t *testing.T) {
	const rate = 1 << 20
	w, a, b := lossyPair(t, lossy.Config{Delay: 20 * time.Millisecond, Rate: rate, Loss: 0.01, Seed: 1})
	got, c := bulk(t, w, a, b, 9*time.Second, func(e *Endpoint) {
		if err := e.SetCongestion("bbr"); err != nil {
			t.Fatal(err)
		}
	})
	// 40 bytes of 1500 are headers, and the window of the receiver is small at first.
	if got < 9*rate*85/100 {
		t.Errorf("%d bytes in 9 s at %d a second", got, rate)
	}
	if i := c.Info(); i.Rtt > 100_000 {
		t.Errorf("a round trip of %d us on a path of 40 ms", i.Rtt)
	}
}
