package inet

import (
	"encoding/binary"
	"io"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// A transfer is what one send or receive needs beyond the stack. They are reused, as
// everything goes through interfaces.
type transfer struct {
	msg  sock.Msg
	seq  *usermem.Seq
	from io.Reader // in place of seq
}

var transfers = sync.Pool{New: func() any { return new(transfer) }}

func getTransfer() *transfer { return transfers.Get().(*transfer) }

func (t *transfer) put() {
	t.msg = sock.Msg{}
	t.seq, t.from = nil, nil
	transfers.Put(t)
}

// Read copies the application's next bytes into p (io.Reader for Endpoint.Send).
func (t *transfer) Read(p []byte) (int, error) {
	if t.from != nil {
		return t.from.Read(p)
	}
	n, err := t.seq.CopyIn(p)
	if n == 0 && err == nil && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

// Lend implements pkt.Lender.
func (t *transfer) Lend(n int) (pkt.Frag, bool) {
	if l, ok := t.from.(pkt.Lender); ok {
		return l.Lend(n)
	}
	return pkt.Frag{}, false
}

// Write copies p to the application (io.Writer for Endpoint.Recv).
func (t *transfer) Write(p []byte) (int, error) {
	n, err := t.seq.CopyOut(p)
	if n < len(p) && err == nil {
		err = io.ErrShortWrite
	}
	return n, err
}

// send sends src with t.msg.
func (s *Socket) send(ctx *vfs.Context, t *transfer, src *usermem.Seq, flags int) (int, error) {
	t.seq = src
	return s.transmit(ctx, t, int(src.Len()), flags)
}

// later sets t.msg.Later if the packets of the system call can wait until it is answered.
func (s *Socket) later(ctx *vfs.Context, t *transfer) {
	if s.tcp != nil {
		task, ok := ctx.Task.(*kernel.Task)
		t.msg.Later = ok && task.After(s.stack)
	}
}

// transmit sends n bytes of t with t.msg.
func (s *Socket) transmit(ctx *vfs.Context, t *transfer, n, flags int) (int, error) {
	if s.common.Err.Load() != 0 {
		if err := s.common.TakeError(); err != nil {
			return 0, err
		}
	}
	t.msg.Flags = flags
	s.later(ctx, t)
	n, err := s.ep.Send(t, n, &t.msg)
	if err == unix.EINPROGRESS {
		// Fast Open without a cookie: the connection is made first.
		s.connecting.Store(true)
		if flags&unix.MSG_DONTWAIT == 0 {
			err = unix.EAGAIN
		}
	}
	return n, err
}

// SendFrom implements socket.Sender for TCP.
func (s *Socket) SendFrom(ctx *vfs.Context, r io.Reader, n int) (int, error) {
	if s.tcp == nil {
		return 0, unix.EOPNOTSUPP
	}
	t := getTransfer()
	defer t.put()
	t.from = r
	return s.transmit(ctx, t, n, 0)
}

// receive receives into dst and t.msg.
func (s *Socket) receive(ctx *vfs.Context, t *transfer, dst *usermem.Seq, flags int) (int, error) {
	if s.common.Err.Load() != 0 {
		if err := s.common.TakeError(); err != nil {
			return 0, err
		}
	}
	t.seq, t.msg.Flags = dst, flags
	s.later(ctx, t)
	n, err := s.ep.Recv(t, int(dst.Len()), &t.msg)
	if task, ok := ctx.Task.(*kernel.Task); ok && err == unix.EAGAIN && s.tcp != nil && task.SettleLoans() {
		n, err = s.ep.Recv(t, int(dst.Len()), &t.msg)
	}
	if t.msg.Control.Has&sock.HasTimestamp != 0 && s.lastStamp.Load() != 0 {
		s.lastStamp.Store(t.msg.Control.Time)
	}
	return n, err
}

// Send implements socket.Socket.
func (s *Socket) Send(ctx *vfs.Context, src *usermem.Seq, m *socket.Message, flags int) (int, error) {
	t := getTransfer()
	defer t.put()
	if m.Addr != nil && (s.tcp == nil || flags&unix.MSG_FASTOPEN != 0) {
		a, err := s.peerAddr(m.Addr, s.tcp != nil)
		if err != nil {
			return 0, err
		}
		if s.tcp != nil && !a.Addr.IsValid() { // AF_UNSPEC
			return 0, unix.EOPNOTSUPP
		}
		t.msg.Addr = a
	}
	for _, it := range m.Control.Other {
		if err := s.parseItem(ctx, it, &t.msg.Control); err != nil {
			return 0, err
		}
	}
	return s.send(ctx, t, src, flags)
}

// parseItem reads an ancillary message that goes with data. EINVAL, EPERM.
func (s *Socket) parseItem(ctx *vfs.Context, it socket.Item, c *sock.Control) error {
	d := it.Data
	v, intErr := socket.ToInt(d)
	switch it.Level {
	case unix.SOL_SOCKET:
		switch it.Type {
		case unix.SO_MARK:
			if intErr != nil {
				return intErr
			}
			if !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) && !s.common.HasCap(ctx, unix.CAP_NET_RAW) {
				return unix.EPERM
			}
			c.Has |= sock.HasMark
			c.Mark = uint32(v)
			return nil
		case unix.SO_TIMESTAMPING, soTimestampingNew:
			return parseStamps(d, c)
		case unix.SCM_RIGHTS, unix.SCM_CREDENTIALS:
			return nil
		}
		return unix.EINVAL
	case unix.IPPROTO_IP:
		return parseIPItem(it, c)
	case unix.IPPROTO_IPV6:
		if s.common.Family == unix.AF_INET6 {
			return parseIPv6Item(it, c)
		}
	case unix.IPPROTO_UDP:
		if it.Type == unix.UDP_SEGMENT && s.udp != nil {
			if len(d) != 2 {
				return unix.EINVAL
			}
			c.Has |= sock.HasSegment
			c.Segment = binary.NativeEndian.Uint16(d)
		}
	}
	return nil
}

func parseIPItem(it socket.Item, c *sock.Control) error {
	d := it.Data
	v, err := socket.ToInt(d)
	switch it.Type {
	case unix.IP_TTL:
		if err != nil || v < 1 || v > 255 {
			return unix.EINVAL
		}
		c.Has |= sock.HasTTL
		c.TTL = uint8(v)
	case unix.IP_TOS:
		if err != nil {
			if len(d) != 1 {
				return unix.EINVAL
			}
			v = int(d[0])
		}
		if v < 0 || v > 255 {
			return unix.EINVAL
		}
		c.Has |= sock.HasTOS
		c.TOS = uint8(v)
	case unix.IP_PKTINFO:
		if len(d) != unix.SizeofInet4Pktinfo {
			return unix.EINVAL
		}
		c.Has |= sock.HasPktInfo
		c.IfIndex, c.Dst = int32(v), netip.AddrFrom4([4]byte(d[4:8]))
	default:
		return unix.EINVAL
	}
	return nil
}

func parseIPv6Item(it socket.Item, c *sock.Control) error {
	d := it.Data
	v, err := socket.ToInt(d)
	switch it.Type {
	case unix.IPV6_HOPLIMIT:
		if err != nil || v < -1 || v > 255 {
			return unix.EINVAL
		}
		if v >= 0 {
			c.Has |= sock.HasTTL
			c.TTL = uint8(v)
		}
	case unix.IPV6_TCLASS:
		if err != nil || v < -1 || v > 255 {
			return unix.EINVAL
		}
		if v >= 0 {
			c.Has |= sock.HasTOS
			c.TOS = uint8(v)
		}
	case unix.IPV6_PKTINFO:
		if len(d) < unix.SizeofInet6Pktinfo {
			return unix.EINVAL
		}
		c.Has |= sock.HasPktInfo
		c.Dst = netip.AddrFrom16([16]byte(d[:16]))
		c.IfIndex = int32(binary.NativeEndian.Uint32(d[16:]))
	default:
		return unix.EINVAL
	}
	return nil
}

// Receive implements socket.Socket.
func (s *Socket) Receive(ctx *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	t := getTransfer()
	defer t.put()
	n, err := s.receive(ctx, t, dst, flags)
	if err == unix.EAGAIN && flags&unix.MSG_ERRQUEUE != 0 {
		err = s.receiveCompletion(m)
	}
	if err != nil {
		return 0, err
	}
	m.Flags |= t.msg.OutFlags
	if t.msg.Addr.Addr.IsValid() && s.tcp == nil {
		m.Addr = appendSockaddr(m.Name[:0], s.common.Family, t.msg.Addr)
	}
	if t.msg.Control.Has != 0 {
		s.items(&t.msg.Control, m)
	}
	return n, nil
}

// items appends the ancillary data of a received packet, in Linux's order.
func (s *Socket) items(c *sock.Control, m *socket.Message) {
	add := func(level, typ int32, data []byte) {
		m.Control.Other = append(m.Control.Other, socket.Item{Level: level, Type: typ, Data: data})
	}
	six := s.common.Family == unix.AF_INET6 && !(c.Dst.IsValid() && c.Dst.Is4())
	if c.Has&sock.HasTimestamp != 0 {
		s.timestampItems(c, add)
	}
	if c.Has&sock.HasDrops != 0 {
		add(unix.SOL_SOCKET, unix.SO_RXQ_OVFL, socket.Int32(int(c.Drops)))
	}
	if c.Has&sock.HasMark != 0 {
		add(unix.SOL_SOCKET, unix.SO_MARK, socket.Int32(int(c.Mark)))
	}
	if c.Has&sock.HasSegment != 0 {
		add(unix.IPPROTO_UDP, unix.UDP_GRO, socket.Int32(int(c.Segment)))
	}
	if c.Has&sock.HasPktInfo != 0 {
		if six {
			dst := c.Dst.As16()
			add(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, binary.NativeEndian.AppendUint32(dst[:], uint32(c.IfIndex)))
		} else {
			spec, dst := c.SpecDst.Unmap().As4(), c.Dst.Unmap().As4()
			p := binary.NativeEndian.AppendUint32(nil, uint32(c.IfIndex))
			add(unix.IPPROTO_IP, unix.IP_PKTINFO, append(append(p, spec[:]...), dst[:]...))
		}
	}
	if c.Has&sock.HasTTL != 0 {
		if six {
			add(unix.IPPROTO_IPV6, unix.IPV6_HOPLIMIT, socket.Int32(int(c.TTL)))
		} else {
			add(unix.IPPROTO_IP, unix.IP_TTL, socket.Int32(int(c.TTL)))
		}
	}
	if c.Has&sock.HasTOS != 0 {
		if six {
			add(unix.IPPROTO_IPV6, unix.IPV6_TCLASS, socket.Int32(int(c.TOS)))
		} else {
			add(unix.IPPROTO_IP, unix.IP_TOS, []byte{c.TOS})
		}
	}
	if c.Has&sock.HasOrigDst != 0 {
		if six {
			add(unix.IPPROTO_IPV6, unix.IPV6_ORIGDSTADDR, appendSockaddr(nil, unix.AF_INET6, c.OrigDst))
		} else {
			a := c.OrigDst
			a.Addr = a.Addr.Unmap()
			add(unix.IPPROTO_IP, unix.IP_ORIGDSTADDR, appendSockaddr(nil, unix.AF_INET, a))
		}
	}
	if c.Has&sock.HasError != 0 {
		s.errorItem(&c.Err, add)
	}
}

// errorItem adds a struct sock_extended_err with the address that it is followed by.
func (s *Socket) errorItem(e *sock.ExtendedErr, add func(level, typ int32, data []byte)) {
	p := binary.NativeEndian.AppendUint32(nil, uint32(e.Errno))
	p = append(p, e.Origin, e.Type, e.Code, 0)
	p = binary.NativeEndian.AppendUint32(p, e.Info)
	p = binary.NativeEndian.AppendUint32(p, e.Data)
	off := e.Offender
	off.Addr = off.Addr.Unmap()
	if s.common.Family == unix.AF_INET {
		if off.Addr.IsValid() {
			p = appendSockaddr(p, unix.AF_INET, off)
		} else {
			p = append(p, make([]byte, sizeIn)...)
		}
		add(unix.IPPROTO_IP, unix.IP_RECVERR, p)
		return
	}
	if off.Addr.IsValid() {
		p = appendSockaddr(p, unix.AF_INET6, off)
	} else {
		p = append(p, make([]byte, sizeIn6)...)
	}
	add(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, p)
}
