package inet

import (
	"encoding/binary"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
)

// GetOption implements socket.Socket.
func (s *Socket) GetOption(ctx *vfs.Context, level, name, length int) ([]byte, error) {
	switch level {
	case unix.SOL_SOCKET:
		return s.getSocketOption(name, length)
	case unix.IPPROTO_IP:
		v, err := s.getIP(name, length)
		if err == nil && len(v) == 4 && length > 0 && length < 4 {
			if n, _ := socket.ToInt(v); n >= 0 && n <= 255 {
				return []byte{byte(n)}, nil
			}
		}
		return v, err
	case unix.IPPROTO_IPV6:
		if s.common.Family == unix.AF_INET6 {
			return s.getIPv6(name, length)
		}
	case unix.IPPROTO_TCP:
		if s.tcp != nil {
			return s.getTCP(name, length)
		}
	case unix.IPPROTO_UDP:
		if s.udp != nil {
			return s.getUDP(name)
		}
	case unix.SOL_RAW, unix.IPPROTO_ICMPV6:
		if s.raw != nil {
			return s.getRaw(level, name)
		}
	}
	if s.common.Family == unix.AF_INET {
		return nil, unix.EOPNOTSUPP
	}
	return nil, unix.ENOPROTOOPT
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(ctx *vfs.Context, level, name int, value []byte) error {
	if IsTable(level, name) {
		return s.setTables(ctx, level, name, value)
	}
	switch level {
	case unix.SOL_SOCKET:
		return s.setSocketOption(ctx, name, value)
	case unix.IPPROTO_IP:
		return s.setIP(ctx, name, value)
	case unix.IPPROTO_IPV6:
		if s.common.Family == unix.AF_INET6 {
			return s.setIPv6(ctx, name, value)
		}
	case unix.IPPROTO_TCP:
		if s.tcp != nil {
			return s.setTCP(ctx, name, value)
		}
	case unix.IPPROTO_UDP:
		if s.udp != nil {
			return s.setUDP(name, value)
		}
	case unix.SOL_RAW, unix.IPPROTO_ICMPV6:
		if s.raw != nil {
			return s.setRaw(level, name, value)
		}
	}
	return unix.ENOPROTOOPT
}

// socketFlag is the field of a boolean option of SOL_SOCKET, or nil.
func (s *Socket) socketFlag(name int) *atomic.Bool {
	o := s.ep.Options()
	switch name {
	case unix.SO_REUSEADDR:
		return &o.ReuseAddr
	case unix.SO_REUSEPORT:
		return &o.ReusePort
	case unix.SO_BROADCAST:
		return &o.Broadcast
	case unix.SO_OOBINLINE:
		return &o.OOBInline
	case unix.SO_DONTROUTE:
		return &o.DontRoute
	case unix.SO_DEBUG:
		return &o.Debug
	case unix.SO_NO_CHECK:
		return &o.NoCheck
	case unix.SO_RXQ_OVFL:
		return &o.RxqOvfl
	}
	return nil
}

func (s *Socket) getSocketOption(name, length int) ([]byte, error) {
	o := s.ep.Options()
	if f := s.socketFlag(name); f != nil {
		return socket.Bool(f.Load()), nil
	}
	switch name {
	case unix.SO_ERROR:
		if e := s.common.Err.Swap(0); e != 0 {
			return socket.Int32(int(e)), nil
		}
		return socket.Int32(int(s.ep.TakeError())), nil
	case unix.SO_ACCEPTCONN:
		return socket.Bool(s.listening()), nil
	case unix.SO_SNDBUF:
		return socket.Int32(o.SndBuf()), nil
	case unix.SO_RCVBUF:
		return socket.Int32(o.RcvBuf()), nil
	case unix.SO_RCVLOWAT:
		return socket.Int32(int(o.RcvLowat.Load())), nil
	case unix.SO_KEEPALIVE:
		return socket.Bool(s.tcp != nil && s.tcp.KeepAlive()), nil
	case unix.SO_LINGER:
		on, d := o.Linger()
		return append(socket.Bool(on), socket.Int32(int(d/time.Second))...), nil
	case unix.SO_PRIORITY:
		return socket.Int32(int(o.Priority.Load())), nil
	case unix.SO_MARK:
		return socket.Int32(int(o.Mark.Load())), nil
	case unix.SO_TIMESTAMP, soTimestampNew, unix.SO_TIMESTAMPNS, soTimestampNSNew:
		is := int(s.timestamps.Load())
		return socket.Bool(is == name || is == soTimestampNSNew && name == soTimestampNew), nil
	case unix.SO_TIMESTAMPING, soTimestampingNew:
		return append(socket.Int32(int(s.timestamping.Load())), socket.Int32(0)...), nil
	case unix.SO_LOCK_FILTER:
		return socket.Bool(o.FilterLock()), nil
	case unix.SO_PEERNAME:
		a, err := s.ep.RemoteAddr()
		if err != nil {
			return nil, unix.ENOTCONN
		}
		p := appendSockaddr(nil, s.common.Family, a)
		if len(p) < length {
			return p, nil
		}
		return p[:length], nil
	case unix.SO_ZEROCOPY:
		return socket.Bool(o.ZeroCopy.Load()), nil
	case unix.SO_BINDTOIFINDEX:
		return socket.Int32(int(o.BoundDev.Load())), nil
	case unix.SO_BINDTODEVICE:
		i := s.stack.Interface(o.BoundDev.Load())
		if i == nil {
			return []byte{}, nil
		}
		if length < unix.IFNAMSIZ {
			return nil, unix.EINVAL
		}
		return append([]byte(i.Name()), 0), nil
	case unix.SO_INCOMING_CPU:
		return socket.Int32(int(o.IncomingCPU.Load())), nil
	case unix.SO_BUSY_POLL:
		return socket.Int32(int(o.BusyPoll.Load())), nil
	case unix.SO_BUF_LOCK:
		return socket.Int32(int(o.BufLocks())), nil
	case unix.SO_MAX_PACING_RATE:
		if length >= 8 {
			return binary.NativeEndian.AppendUint64(nil, o.MaxPacingRate.Load()), nil
		}
		return socket.Int32(int(uint32(min(o.MaxPacingRate.Load(), 1<<32-1)))), nil
	case unix.SO_PEERCRED:
		return append(socket.Int32(0), append(socket.Int32(-1), socket.Int32(-1)...)...), nil
	}
	return nil, unix.ENOPROTOOPT
}

func (s *Socket) setSocketOption(ctx *vfs.Context, name int, value []byte) error {
	o := s.ep.Options()
	switch name {
	case unix.SO_BINDTODEVICE:
		return s.bindToDevice(ctx, value)
	case unix.SO_ATTACH_FILTER:
		f, err := socket.Program(ctx, value)
		if err != nil {
			return err
		}
		return o.SetFilter(f)
	case unix.SO_DETACH_FILTER:
		return o.SetFilter(nil)
	}
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	if f := s.socketFlag(name); f != nil {
		f.Store(v != 0)
		return nil
	}
	switch name {
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		o.SetSndBuf(v, name == unix.SO_SNDBUFFORCE)
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
		o.SetRcvBuf(v, name == unix.SO_RCVBUFFORCE)
	case unix.SO_RCVLOWAT:
		if v < 0 {
			v = 1<<31 - 1
		}
		o.RcvLowat.Store(int32(max(v, 1)))
	case unix.SO_KEEPALIVE:
		if s.tcp != nil {
			s.tcp.SetKeepAlive(v != 0)
		}
	case unix.SO_LINGER:
		if len(value) < 8 {
			return unix.EINVAL
		}
		secs, _ := socket.ToInt(value[4:])
		_, old := o.Linger()
		d := time.Duration(uint32(secs)) * time.Second
		if v == 0 {
			d = old
		}
		o.SetLinger(v != 0, d)
	case unix.SO_PRIORITY:
		o.Priority.Store(int32(v))
	case unix.SO_MARK:
		o.Mark.Store(uint32(v))
	case unix.SO_TIMESTAMP, soTimestampNew, unix.SO_TIMESTAMPNS, soTimestampNSNew:
		s.setTimestamp(name, v != 0)
	case unix.SO_TIMESTAMPING, soTimestampingNew:
		return s.setTimestamping(name, uint32(v))
	case unix.SO_LOCK_FILTER:
		return o.SetFilterLock(v != 0)
	case unix.SO_ZEROCOPY:
		return s.setZeroCopy(v)
	case unix.SO_BINDTOIFINDEX:
		return s.bindToIndex(ctx, int32(v))
	case unix.SO_INCOMING_CPU:
		o.IncomingCPU.Store(int32(v))
	case unix.SO_BUSY_POLL:
		if v < 0 {
			return unix.EINVAL
		}
		o.BusyPoll.Store(int32(v))
	case unix.SO_BUF_LOCK:
		return o.SetBufLocks(uint32(v))
	case unix.SO_MAX_PACING_RATE:
		rate := uint64(uint32(v))
		if len(value) >= 8 {
			rate = binary.NativeEndian.Uint64(value)
		} else if v == -1 {
			rate = ^uint64(0)
		}
		o.MaxPacingRate.Store(rate)
	default:
		return unix.ENOPROTOOPT
	}
	return nil
}

// bindToDevice is SO_BINDTODEVICE. ENODEV, EPERM.
func (s *Socket) bindToDevice(ctx *vfs.Context, value []byte) error {
	name := value[:min(len(value), unix.IFNAMSIZ-1)]
	for i, c := range name {
		if c == 0 {
			name = name[:i]
			break
		}
	}
	if len(name) == 0 {
		return s.bindToIndex(ctx, 0)
	}
	i := s.stack.InterfaceByName(string(name))
	if i == nil {
		return unix.ENODEV
	}
	return s.bindToIndex(ctx, i.Index())
}

// bindToIndex is SO_BINDTOIFINDEX. ENODEV, EPERM to change it without CAP_NET_RAW.
func (s *Socket) bindToIndex(ctx *vfs.Context, index int32) error {
	o := s.ep.Options()
	if o.BoundDev.Load() != 0 && !s.common.HasCap(ctx, unix.CAP_NET_RAW) {
		return unix.EPERM
	}
	if index < 0 {
		return unix.EINVAL
	}
	if index != 0 && s.stack.Interface(index) == nil {
		return unix.ENODEV
	}
	if s.udp != nil {
		return s.udp.BindToDevice(index)
	}
	o.BoundDev.Store(index)
	return nil
}

// pathMTU is IP_MTU and IPV6_MTU: what goes to the peer in one packet. ENOTCONN.
func (s *Socket) pathMTU() ([]byte, error) {
	peer, err := s.ep.RemoteAddr()
	if err != nil {
		return nil, unix.ENOTCONN
	}
	r, err := s.stack.Lookup(s.ep.LocalAddr().Addr.Unmap(), peer.Addr.Unmap(), s.ep.Options().BoundDev.Load(), 0)
	if err != nil {
		return nil, unix.ENOTCONN
	}
	return socket.Int32(r.MTU), nil
}

// defaultInt is v, or the default that -1 stands for.
func defaultInt(v int32, def int) []byte {
	if v < 0 {
		return socket.Int32(def)
	}
	return socket.Int32(int(v))
}
