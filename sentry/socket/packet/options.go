package packet

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
)

// GetOption implements socket.Socket.
func (s *Socket) GetOption(_ *vfs.Context, level, name, length int) ([]byte, error) {
	switch level {
	case unix.SOL_SOCKET:
		return s.getSocketOption(name, length)
	case unix.SOL_PACKET:
	default:
		return nil, unix.ENOPROTOOPT
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case unix.PACKET_STATISTICS:
		st := s.ep.TakeStats()
		return append(socket.Int32(int(st.Packets)), socket.Int32(int(st.Drops))...), nil
	case unix.PACKET_VERSION:
		return socket.Int32(s.version), nil
	case unix.PACKET_RESERVE:
		return socket.Int32(s.reserve), nil
	case unix.PACKET_AUXDATA:
		return socket.Bool(s.auxdata), nil
	case unix.PACKET_ORIGDEV, unix.PACKET_LOSS, unix.PACKET_VNET_HDR, unix.PACKET_TIMESTAMP, unix.PACKET_QDISC_BYPASS, unix.PACKET_FANOUT:
		return socket.Int32(0), nil
	}
	return nil, unix.ENOPROTOOPT
}

// Ask implements socket.Asker: PACKET_HDRLEN tells the length of the header of a version.
// EINVAL for one that there is not, with which libpcap tries an older one.
func (s *Socket) Ask(_ *vfs.Context, level, name int, value []byte, _ int) (answer []byte, asked bool, err error) {
	if level != unix.SOL_PACKET || name != unix.PACKET_HDRLEN {
		return nil, false, nil
	}
	v, err := socket.ToInt(value)
	if err != nil || v != unix.TPACKET_V2 {
		return nil, true, unix.EINVAL
	}
	return socket.Int32(headerLen), true, nil
}

func (s *Socket) getSocketOption(name, length int) ([]byte, error) {
	switch name {
	case unix.SO_SNDBUF:
		return socket.Int32(s.ep.Options().SndBuf()), nil
	case unix.SO_RCVBUF:
		return socket.Int32(s.ep.Options().RcvBuf()), nil
	case unix.SO_ACCEPTCONN:
		return socket.Int32(0), nil
	}
	return s.common.GetKept(name, length)
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(ctx *vfs.Context, level, name int, value []byte) error {
	switch level {
	case unix.SOL_SOCKET:
		return s.setSocketOption(ctx, name, value)
	case unix.SOL_PACKET:
	default:
		return unix.ENOPROTOOPT
	}
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.PACKET_ADD_MEMBERSHIP, unix.PACKET_DROP_MEMBERSHIP:
		return s.member(name == unix.PACKET_ADD_MEMBERSHIP, value)
	case unix.PACKET_RX_RING:
		return s.newRing(ctx, value)
	case unix.PACKET_IGNORE_OUTGOING:
		s.ep.SetIgnoreOutgoing(v != 0)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case unix.PACKET_VERSION:
		if s.ring != nil {
			return unix.EBUSY
		}
		if v != unix.TPACKET_V2 {
			return unix.EINVAL
		}
		s.version = v
	case unix.PACKET_RESERVE:
		if s.ring != nil {
			return unix.EBUSY
		}
		if v < 0 || v > 4096 {
			return unix.EINVAL
		}
		s.reserve = v
	case unix.PACKET_AUXDATA:
		s.auxdata = v != 0
	case unix.PACKET_ORIGDEV, unix.PACKET_LOSS, unix.PACKET_COPY_THRESH, unix.PACKET_QDISC_BYPASS, unix.PACKET_TIMESTAMP:
		// No frame comes by another device, none is queued to be sent, time is the
		// stack's.
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// member is PACKET_ADD_MEMBERSHIP and PACKET_DROP_MEMBERSHIP. Interfaces pass all frames
// that reach them, so there is nothing to turn on. EINVAL, ENODEV, EADDRNOTAVAIL.
func (s *Socket) member(add bool, value []byte) error {
	if len(value) < unix.SizeofPacketMreq-8 {
		return unix.EINVAL
	}
	index := int(int32(ne.Uint32(value)))
	if s.stack.Interface(int32(index)) == nil {
		return unix.ENODEV
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !add && !s.groups[index] {
		return unix.EADDRNOTAVAIL
	}
	s.groups[index] = add
	return nil
}

// newRing is PACKET_RX_RING; a request for no frames ends the ring. EINVAL, EBUSY, ENOMEM.
func (s *Socket) newRing(ctx *vfs.Context, value []byte) error {
	s.mu.Lock()
	version, reserve, busy := s.version, s.reserve, s.ring != nil
	s.mu.Unlock()
	if len(value) >= 16 && ne.Uint32(value[4:]) == 0 {
		s.setRing(nil)
		return nil
	}
	if busy {
		return unix.EBUSY
	}
	if version != unix.TPACKET_V2 {
		return unix.EINVAL
	}
	r, err := newRing(ctx, value, s.common.Type == unix.SOCK_DGRAM, reserve)
	if err != nil {
		return err
	}
	s.setRing(r)
	return nil
}

// setRing replaces the ring.
func (s *Socket) setRing(r *ring) {
	s.mu.Lock()
	old := s.ring
	s.ring = r
	s.mu.Unlock()
	if r != nil {
		s.ep.SetSink(r.take)
	} else {
		s.ep.SetSink(nil)
	}
	if old != nil {
		// A frame may still be on its way in.
		old.mu.Lock()
		defer old.mu.Unlock()
		old.frames = 0
		old.file.DecRef()
	}
}

func (s *Socket) setSocketOption(ctx *vfs.Context, name int, value []byte) error {
	switch name {
	case unix.SO_ATTACH_FILTER:
		f, err := socket.Program(ctx, value)
		if err != nil {
			return err
		}
		s.ep.SetFilter(f)
		return nil
	case unix.SO_DETACH_FILTER:
		s.ep.SetFilter(nil)
		return nil
	}
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		s.ep.Options().SetSndBuf(v, name == unix.SO_SNDBUFFORCE)
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		s.ep.Options().SetRcvBuf(v, name == unix.SO_RCVBUFFORCE)
	case unix.SO_TIMESTAMP:
		s.ep.Options().Timestamp.Store(v != 0)
	default:
		return s.common.SetKept(name, value)
	}
	return nil
}
