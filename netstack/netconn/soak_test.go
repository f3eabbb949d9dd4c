package netconn

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"

	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/backlog"
	"casemate/netstack/ip"
	"casemate/netstack/link/lossy"
	"casemate/netstack/wheel"
)

// TestSoak has programs at two stacks talk over a bad link for as long as SOAK says
// (time.ParseDuration), two seconds by default: echoes that are compared, connections that are
// refused, dropped, left idle. In the end no goroutine, timer or buffer is left.
func TestSoak(t *testing.T) {
	d := 2 * time.Second
	if s := os.Getenv("SOAK"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	goroutines, before := runtime.NumGoroutine(), inUse()
	soak(t, d)
	for end := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond) // those that have been told to end
	}
	if n := runtime.NumGoroutine(); n > goroutines {
		b := make([]byte, 1<<16)
		t.Errorf("%d goroutines more than before:\n%s", n-goroutines, b[:runtime.Stack(b, true)])
	}
	if n := int64(inUse()) - int64(before); n > 4<<20 {
		t.Errorf("%d KiB are left", n>>10)
	}
}

// inUse is how much of the heap is in use; what is in a pool outlives one collection.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// workers is how many clients there are at once.
const workers = 8

func soak(t *testing.T, d time.Duration) {
	w := wheel.New()
	defer w.Close()
	b := new(backlog.Set)
	x, y := lossy.New(w, lossy.Config{Delay: time.Millisecond, Loss: 0.005, Reorder: 0.01, Duplicate: 0.005, Corrupt: 0.002, Rate: 20 << 20, Queue: 200, Seed: 5})
	defer x.Close()
	defer y.Close()
	var s [2]*netstack.Stack
	for k, l := range []*lossy.Link{x, y} {
		s[k] = netstack.New(ip.Options{Wheel: w, Backlog: b})
		i, err := s[k].AddInterface("eth0", l)
		if err != nil {
			t.Fatal(err)
		}
		if err := s[k].AddAddress(i, ip.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(1 + k)}), 24)}); err != nil {
			t.Fatal(err)
		}
		s[k].SetUp(i, true)
	}
	to := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), 80)
	l, err := ListenTCP(s[1], to)
	if err != nil {
		t.Fatal(err)
	}
	var servers, clients sync.WaitGroup
	servers.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			servers.Go(func() {
				io.Copy(c, c)
				c.Close()
			})
		}
	})
	var done atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	for k := range workers {
		clients.Go(func() {
			rng := rand.New(rand.NewPCG(11, uint64(k)))
			for ctx.Err() == nil {
				if err := visit(ctx, s[0], to, rng); err != nil {
					t.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	clients.Wait()
	l.Close()
	servers.Wait()
	if done.Load() == 0 {
		t.Error("nothing has happened")
	}
	t.Logf("%d connections", done.Load())
	for _, x := range s {
		x.Close()
	}
	if n := w.Len(); n != 0 {
		t.Errorf("%d timers are left", n)
	}
}

// visit makes a connection and does one thing or another with it.
func visit(ctx context.Context, s *netstack.Stack, to netip.AddrPort, rng *rand.Rand) error {
	what := rng.IntN(8)
	if what == 0 {
		_, err := DialTCP(ctx, s, netip.AddrPortFrom(to.Addr(), 81))
		if !errors.Is(err, unix.ECONNREFUSED) && ctx.Err() == nil {
			return err
		}
		return nil
	}
	c, err := DialTCP(ctx, s, to)
	if err != nil {
		return unless(ctx, err)
	}
	defer c.Close()
	switch what {
	case 1: // it leaves at once
		return nil
	case 2: // it leaves while data is under way
		c.Write(make([]byte, rng.IntN(50_000)))
		return nil
	case 3: // it waits for what does not come
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		return nil
	}
	return unless(ctx, exchange(c, rng))
}

// unless is err while ctx goes on.
func unless(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// exchange sends data that must come back.
func exchange(c *Conn, rng *rand.Rand) error {
	sent := make([]byte, rng.IntN(1<<20))
	for k := range sent {
		sent[k] = byte(rng.Uint32())
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := c.Write(sent)
		if err == nil {
			err = c.CloseWrite()
		}
		wrote <- err
	}()
	got, err := io.ReadAll(c)
	if werr := <-wrote; err == nil {
		err = werr
	}
	if err == nil && !bytes.Equal(got, sent) {
		err = errors.New("what comes back is not what was sent")
	}
	return err
}
