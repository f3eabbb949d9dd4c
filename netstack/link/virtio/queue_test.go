package virtio

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// limit is how long a packet may take on a machine that is busy.
const limit = 30 * time.Second

// numbers receives packets whose data ends with a number.
type numbers chan uint32

func (r numbers) Receive(p *pkt.Packet) {
	var b [4]byte
	p.CopyOut(p.Len()-len(b), b[:])
	p.Free()
	r <- binary.BigEndian.Uint32(b[:])
}

func (r numbers) expect(t *testing.T, want uint32) {
	t.Helper()
	select {
	case n := <-r:
		if n != want {
			t.Fatalf("packet %d came, not %d", n, want)
		}
	case <-time.After(limit):
		t.Fatalf("packet %d has not come in %v", want, limit)
	}
}

// open makes a link without a link header and the descriptor of its other end.
func open(t *testing.T, rx pkt.Receiver) (*backlog.Set, int) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, err := New(link.Info{Type: unix.ARPHRD_NONE, MTU: 65535}, fds[0])
	if err != nil {
		t.Fatal(err)
	}
	var b backlog.Set
	if err := l.Attach(rx, &b); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		b.Poll(0) // of a link that is gone
		unix.Close(fds[1])
	})
	return &b, fds[1]
}

// send sends an IPv4 packet of size bytes that ends with n.
func send(t *testing.T, fd, size int, n uint32) {
	b := make([]byte, HeaderLen+size)
	b[HeaderLen] = 0x45
	binary.BigEndian.PutUint32(b[len(b)-4:], n)
	if _, err := unix.Write(fd, b); err != nil {
		t.Fatal(err)
	}
}

// TestPoll has several goroutines and the link's own receive a stream: all of it comes, in order.
func TestPoll(t *testing.T) {
	const packets = 500
	rx := make(numbers, packets)
	b, fd := open(t, rx)
	done := make(chan struct{})
	var pollers sync.WaitGroup
	for range 3 {
		pollers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					b.Poll(10 * time.Microsecond)
				}
			}
		})
	}
	for n := range uint32(packets) {
		send(t, fd, 100+int(n%3)*20000, n)
	}
	for n := range uint32(packets) {
		rx.expect(t, n)
	}
	close(done)
	pollers.Wait()
}

// TestPollEnds shows that packets come by themselves after a Poll that has found some, and after
// others that have found nothing.
func TestPollEnds(t *testing.T) {
	rx := make(numbers, 1)
	b, fd := open(t, rx)
	for n := range uint32(100) {
		send(t, fd, 20000, n)
		for range n % 4 {
			b.Poll(0)
		}
		rx.expect(t, n)
		for range n % 3 {
			b.Poll(10 * time.Microsecond)
		}
	}
}
