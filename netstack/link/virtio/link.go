package virtio

import (
	"sync"
	"sync/atomic"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// sendWait is how long, in ms, the processing of a queue waits for room in a
// device before it drops a packet.
const sendWait = 20

// Link is a link over a descriptor, or over several that are queues of one device.
type Link struct {
	fds    []int
	out    int // by which all is sent, or -1
	stop   int // eventfd
	info   link.Info
	eth    int // length of the link header
	b      *backlog.Set
	queues []*queue
	wg     sync.WaitGroup
	once   sync.Once

	dropped atomic.Uint64
}

// New makes a link of descriptors, which it owns from now on, even if it fails. They are put
// into non-blocking mode if they are not in it; they have been set up to carry virtio-net
// headers and their other side to take what info says.
func New(info link.Info, fds ...int) (*Link, error) {
	var err error
	for _, fd := range fds {
		var flags int
		if flags, err = unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err == nil && flags&unix.O_NONBLOCK == 0 {
			err = unix.SetNonblock(fd, true)
		}
		if err != nil {
			break
		}
	}
	var stop int
	if err == nil {
		stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	}
	if err != nil {
		for _, fd := range fds {
			unix.Close(fd)
		}
		return nil, err
	}
	l := &Link{fds: fds, out: -1, stop: stop, info: info}
	if info.Type == unix.ARPHRD_ETHER {
		l.eth = wire.EthernetLen
	}
	return l, nil
}

// SendBy has packets sent by a descriptor of its own, which l owns from now on. It is called before
// Attach.
func (l *Link) SendBy(fd int) { l.out = fd }

// Info implements link.Link.
func (l *Link) Info() link.Info { return l.info }

// Dropped counts packets for which the device had no room.
func (l *Link) Dropped() uint64 { return l.dropped.Load() }

// Attach implements link.Link. A goroutine for each descriptor receives until Close.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	l.b = b
	for _, fd := range l.fds {
		q, err := newQueue(l, fd, rx)
		if err != nil {
			return err
		}
		l.queues = append(l.queues, q)
	}
	// What one receives may be answered by another one.
	for _, q := range l.queues {
		b.AddSource(q)
		l.wg.Go(q.receive)
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

// Receive implements pkt.Receiver: it writes p to the device.
func (s *sender) Receive(p *pkt.Packet) {
	l := (*Link)(s)
	i := p.Hash % uint32(len(l.fds))
	fd := l.out
	if fd < 0 {
		fd = l.fds[i]
	}
	l.queues[i].noteSize(p.Len())
	var hdr [HeaderLen]byte
	var iov [pkt.MaxFrags + 2]unix.Iovec
	put(hdr[:], p, l.eth)
	iov[0], iov[1] = iovec(hdr[:]), iovec(p.Header())
	n := 2
	for _, f := range p.Frags() {
		iov[n] = iovec(f.Bytes())
		n++
	}
	for try := 0; ; try++ {
		_, err := writev(fd, iov[:n])
		if err == unix.EINTR {
			continue
		}
		if (err == unix.EAGAIN || err == unix.ENOBUFS) && try < 2 {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
			unix.Poll(fds, sendWait)
			continue
		}
		if err != nil {
			l.dropped.Add(1)
		}
		break
	}
	p.Free()
}

// classify finds the flow that a packet belongs to and, on links without a link
// header, its protocol. It reports false if it is too short.
func (l *Link) classify(p *pkt.Packet) bool {
	var start [wire.EthernetLen + wire.IPv4MaxLen + 8]byte
	b := start[:p.CopyOut(0, start[:])]
	if len(b) <= l.eth {
		return false
	}
	b = b[l.eth:]
	p.Hash = wire.PacketHash(b)
	if l.eth == 0 {
		switch b[0] >> 4 {
		case 4:
			p.EtherType = unix.ETH_P_IP
		case 6:
			p.EtherType = unix.ETH_P_IPV6
		default:
			return false
		}
	}
	return true
}

// Close implements link.Link.
func (l *Link) Close() {
	l.once.Do(func() {
		unix.Write(l.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		l.wg.Wait()
		for _, q := range l.queues {
			q.close()
		}
		for _, fd := range l.fds {
			unix.Close(fd)
		}
		if l.out >= 0 {
			unix.Close(l.out)
		}
		unix.Close(l.stop)
	})
}
