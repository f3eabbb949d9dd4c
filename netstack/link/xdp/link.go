package xdp

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Link is a link over the queues of a device.
type Link struct {
	fds    []int
	queues []*queue
	stop   int // eventfd
	info   link.Info
	b      *backlog.Set
	wg     sync.WaitGroup
	once   sync.Once
}

// New makes a link of descriptors from Open, which it owns from now on, even if it fails.
func New(fds []int, y Layout, info link.Info) (*Link, error) {
	l := &Link{fds: fds, info: info, stop: -1}
	err := l.open(&y)
	if err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

func (l *Link) open(y *Layout) (err error) {
	if len(l.fds) != 2*l.info.Queues+1 || l.info.Queues < 1 || y.FrameSize != 2048 && y.FrameSize != 4096 {
		return unix.EINVAL
	}
	for k := range l.info.Queues {
		q, err := newQueue(l.fds[2*k], l.fds[2*k+1], y)
		if err != nil {
			return err
		}
		l.queues = append(l.queues, q)
	}
	l.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return err
}

// Info implements link.Link.
func (l *Link) Info() link.Info { return l.info }

// Dropped counts packets for which the device had no room.
func (l *Link) Dropped() uint64 {
	var n uint64
	for _, q := range l.queues {
		n += q.dropped.Load()
	}
	return n
}

// Attach implements link.Link. A goroutine for each queue receives until Close.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.b = b
	for _, q := range l.queues {
		l.wg.Go(func() { l.receive(q, rx) })
	}
	return nil
}

// Send implements link.Link: the packet goes when the backlog is run.
func (l *Link) Send(p *pkt.Packet) {
	p.Rx = (*sender)(l)
	l.b.Put(p)
}

// sender is the link as the receiver of packets to be sent.
type sender Link

// Receive implements pkt.Receiver: it sends p by the queue of its flow.
func (s *sender) Receive(p *pkt.Packet) { s.queues[p.Hash%uint32(len(s.queues))].send(p) }

// receive takes frames from a queue until Close.
func (l *Link) receive(q *queue, rx pkt.Receiver) {
	fds := []unix.PollFd{{Fd: int32(q.socket), Events: unix.POLLIN}, {Fd: int32(l.stop), Events: unix.POLLIN}}
	batch := backlog.NewBatch(l.b)
	for {
		p := q.take()
		if p == nil {
			batch.Run()
			fds[0].Revents, fds[1].Revents = 0, 0
			if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR || fds[1].Revents != 0 || fds[0].Revents&^unix.POLLIN != 0 {
				return
			}
			continue
		}
		var start [wire.EthernetLen + wire.IPv4MaxLen + wire.TCPMinLen]byte
		b := start[:p.CopyOut(0, start[:])]
		if len(b) <= wire.EthernetLen {
			p.Free()
			continue
		}
		p.Hash = wire.PacketHash(b[wire.EthernetLen:])
		trust(p, b[wire.EthernetLen:])
		p.Rx = rx
		batch.Put(p)
	}
}

// Close implements link.Link.
func (l *Link) Close() {
	l.once.Do(func() {
		unix.Write(l.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		l.wg.Wait()
		for _, q := range l.queues {
			q.unmap()
		}
		for _, fd := range l.fds {
			unix.Close(fd)
		}
		unix.Close(l.stop)
	})
}
