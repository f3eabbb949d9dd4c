package inet

import (
	"bytes"
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/tcp"
	"casemate/sentry/socket"
	"casemate/vfs"
)

func (s *Socket) getTCP(name, length int) ([]byte, error) {
	e := s.tcp
	switch name {
	case unix.TCP_NODELAY:
		return socket.Bool(e.NoDelay()), nil
	case unix.TCP_CORK:
		return socket.Bool(e.Cork()), nil
	case unix.TCP_QUICKACK:
		return socket.Bool(e.QuickAck()), nil
	case unix.TCP_MAXSEG:
		return socket.Int32(e.MaxSeg()), nil
	case unix.TCP_KEEPIDLE:
		v, _, _ := e.Keep()
		return socket.Int32(v), nil
	case unix.TCP_KEEPINTVL:
		_, v, _ := e.Keep()
		return socket.Int32(v), nil
	case unix.TCP_KEEPCNT:
		_, _, v := e.Keep()
		return socket.Int32(v), nil
	case unix.TCP_SYNCNT:
		return socket.Int32(e.SynCount()), nil
	case unix.TCP_LINGER2:
		return socket.Int32(e.Linger2()), nil
	case unix.TCP_DEFER_ACCEPT:
		return socket.Int32(e.DeferAccept()), nil
	case unix.TCP_WINDOW_CLAMP:
		return socket.Int32(e.WindowClamp()), nil
	case unix.TCP_USER_TIMEOUT:
		return socket.Int32(e.UserTimeout()), nil
	case unix.TCP_NOTSENT_LOWAT:
		return socket.Int32(int(e.NotsentLowat())), nil
	case unix.TCP_FASTOPEN:
		return socket.Int32(e.FastOpen()), nil
	case unix.TCP_FASTOPEN_CONNECT:
		return socket.Bool(e.FastOpenConnect()), nil
	case unix.TCP_FASTOPEN_NO_COOKIE:
		return socket.Bool(e.FastOpenNoCookie()), nil
	case unix.TCP_CONGESTION:
		return append([]byte(e.Congestion()), make([]byte, 16-len(e.Congestion()))...), nil // TCP_CA_NAME_MAX
	case unix.TCP_INFO:
		info := e.Info()
		return info.Bytes(), nil
	case unix.TCP_CC_INFO:
		return e.BBRInfo(), nil
	case unix.TCP_ULP:
		return []byte{}, nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setTCP(ctx *vfs.Context, name int, value []byte) error {
	e := s.tcp
	if name == unix.TCP_CONGESTION {
		if len(value) < 1 {
			return unix.EINVAL
		}
		algorithm, _, _ := bytes.Cut(value[:min(len(value), 15)], []byte{0})
		return e.SetCongestion(string(algorithm))
	}
	if name == unix.TCP_ULP { // what is to be between the program and TCP, by its name, as "tls": there is nothing
		if len(value) < 1 {
			return unix.EINVAL
		}
		return unix.ENOENT
	}
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.TCP_NODELAY:
		e.SetNoDelay(v != 0)
	case unix.TCP_CORK:
		e.SetCork(v != 0)
	case unix.TCP_QUICKACK:
		e.SetQuickAck(v != 0)
	case unix.TCP_MAXSEG:
		return e.SetMaxSeg(v)
	case unix.TCP_KEEPIDLE:
		return e.SetKeepIdle(v)
	case unix.TCP_KEEPINTVL:
		return e.SetKeepInterval(v)
	case unix.TCP_KEEPCNT:
		return e.SetKeepCount(v)
	case unix.TCP_SYNCNT:
		return e.SetSynCount(v)
	case unix.TCP_LINGER2:
		e.SetLinger2(v)
	case unix.TCP_DEFER_ACCEPT:
		e.SetDeferAccept(v)
	case unix.TCP_WINDOW_CLAMP:
		return e.SetWindowClamp(v)
	case unix.TCP_USER_TIMEOUT:
		return e.SetUserTimeout(v)
	case unix.TCP_NOTSENT_LOWAT:
		e.SetNotsentLowat(uint32(v))
	case unix.TCP_FASTOPEN:
		return e.SetFastOpen(v)
	case unix.TCP_FASTOPEN_CONNECT:
		return e.SetFastOpenConnect(v)
	case unix.TCP_FASTOPEN_NO_COOKIE:
		return e.SetFastOpenNoCookie(v)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

func (s *Socket) getUDP(name int) ([]byte, error) {
	switch name {
	case unix.UDP_CORK:
		return socket.Bool(s.udp.Cork()), nil
	case unix.UDP_SEGMENT:
		return socket.Int32(s.udp.Segment()), nil
	case unix.UDP_GRO:
		return socket.Bool(s.udp.GRO()), nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setUDP(name int, value []byte) error {
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.UDP_CORK:
		return s.udp.SetCork(v != 0)
	case unix.UDP_SEGMENT:
		return s.udp.SetSegment(v)
	case unix.UDP_GRO:
		s.udp.SetGRO(v != 0)
		return nil
	}
	return unix.ENOPROTOOPT
}

// Options of raw(7) and icmp(7) that x/sys does not name.
const (
	icmpFilter  = 1 // ICMP_FILTER
	icmp6Filter = 1 // ICMPV6_FILTER

	icmp6Checksum = 2 // offset in the header
)

func (s *Socket) getRaw(level, name int) ([]byte, error) {
	switch {
	case level == unix.SOL_RAW && name == icmpFilter && s.common.Protocol == unix.IPPROTO_ICMP:
		return socket.Int32(int(s.raw.ICMPFilter())), nil
	case level == unix.IPPROTO_ICMPV6 && name == icmp6Filter && s.common.Protocol == unix.IPPROTO_ICMPV6:
		var p []byte
		for _, w := range s.raw.ICMP6Filter() {
			p = binary.NativeEndian.AppendUint32(p, w)
		}
		return p, nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setRaw(level, name int, value []byte) error {
	switch {
	case level == unix.SOL_RAW && name == icmpFilter && s.common.Protocol == unix.IPPROTO_ICMP:
		v, err := socket.ToInt(value)
		if err != nil {
			return err
		}
		s.raw.SetICMPFilter(uint32(v))
	case level == unix.IPPROTO_ICMPV6 && name == icmp6Filter && s.common.Protocol == unix.IPPROTO_ICMPV6:
		mask := s.raw.ICMP6Filter()
		for i := range min(len(mask), len(value)/4) {
			mask[i] = binary.NativeEndian.Uint32(value[4*i:])
		}
		s.raw.SetICMP6Filter(mask)
	case level == unix.SOL_RAW && name == unix.IPV6_CHECKSUM && s.common.Protocol == unix.IPPROTO_ICMPV6:
		// The stack computes the checksum where ICMPv6 has it (RFC 3542 section 3.1).
		v, err := socket.ToInt(value)
		if err != nil {
			return err
		}
		if v != icmp6Checksum {
			return unix.EINVAL
		}
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// listening reports whether a stream listens.
func (s *Socket) listening() bool { return s.tcp != nil && s.tcp.State() == tcp.Listen }
