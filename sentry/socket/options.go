package socket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// Int32 is an int option as bytes.
func Int32(v int) []byte { return binary.NativeEndian.AppendUint32(nil, uint32(v)) }

// Bool is a boolean option as bytes.
func Bool(v bool) []byte {
	if v {
		return Int32(1)
	}
	return Int32(0)
}

// ToInt reads an int option. EINVAL if it is too short.
func ToInt(p []byte) (int, error) {
	if len(p) < 4 {
		return 0, unix.EINVAL
	}
	return int(int32(binary.NativeEndian.Uint32(p))), nil
}

// maxTimeout is where a time-out stops to be one.
const maxTimeout = 1 << 62

// timeval is a time in ns as struct timeval.
func timeval(ns int64) []byte {
	p := binary.NativeEndian.AppendUint64(nil, uint64(ns/1e9))
	return binary.NativeEndian.AppendUint64(p, uint64(ns%1e9/1e3))
}

// fromTimeval reads a struct timeval as ns, 0 if it means for ever. EINVAL, EDOM.
func fromTimeval(p []byte) (int64, error) {
	if len(p) < 16 {
		return 0, unix.EINVAL
	}
	sec, usec := int64(binary.NativeEndian.Uint64(p)), int64(binary.NativeEndian.Uint64(p[8:]))
	if usec < 0 || usec >= 1e6 {
		return 0, unix.EDOM
	}
	if sec < 0 {
		return 1, nil // over at once
	}
	if sec > maxTimeout/1_000_000_000 {
		return 0, nil
	}
	return sec*1e9 + usec*1e3, nil
}

// Options of SOL_SOCKET that x/sys does not name.
const (
	SO_PASSPIDFD   = 76
	SO_PEERPIDFD   = 77
	SO_RCVTIMEONEW = 66 // SO_RCVTIMEO_NEW
	SO_SNDTIMEONEW = 67 // SO_SNDTIMEO_NEW
)

// Get serves getsockopt(2). length is what the caller has room for.
func Get(ctx *vfs.Context, s Socket, level, name, length int) ([]byte, error) {
	c := s.Common()
	if level != unix.SOL_SOCKET {
		return s.GetOption(ctx, level, name, length)
	}
	switch name {
	case unix.SO_TYPE:
		return Int32(c.Type), nil
	case unix.SO_DOMAIN:
		return Int32(c.Family), nil
	case unix.SO_PROTOCOL:
		return Int32(c.Protocol), nil
	case unix.SO_PASSCRED:
		if c.Family != unix.AF_UNIX && c.Family != unix.AF_NETLINK {
			return nil, unix.EOPNOTSUPP
		}
		return Bool(c.PassCred.Load()), nil
	case unix.SO_RCVTIMEO, SO_RCVTIMEONEW:
		return timeval(c.ReceiveTimeout.Load()), nil
	case unix.SO_SNDTIMEO, SO_SNDTIMEONEW:
		return timeval(c.SendTimeout.Load()), nil
	case unix.SO_COOKIE:
		if length < 8 {
			return nil, unix.EINVAL
		}
		return binary.NativeEndian.AppendUint64(nil, c.Cookie()), nil
	case unix.SO_SNDLOWAT:
		return Int32(1), nil
	}
	return s.GetOption(ctx, level, name, length)
}

// Set serves setsockopt(2).
func Set(ctx *vfs.Context, s Socket, level, name int, value []byte) error {
	c := s.Common()
	if level != unix.SOL_SOCKET {
		return s.SetOption(ctx, level, name, value)
	}
	if name == unix.SO_BINDTODEVICE {
		return s.SetOption(ctx, level, name, value)
	}
	v, err := ToInt(value)
	if err != nil {
		return err
	}
	switch name {
	case unix.SO_TYPE, unix.SO_DOMAIN, unix.SO_PROTOCOL, unix.SO_ERROR, unix.SO_ACCEPTCONN, unix.SO_PEERCRED, unix.SO_SNDLOWAT:
		return unix.ENOPROTOOPT
	case unix.SO_RCVTIMEO, unix.SO_SNDTIMEO, SO_RCVTIMEONEW, SO_SNDTIMEONEW:
		ns, err := fromTimeval(value)
		if err != nil {
			return err
		}
		if name == unix.SO_RCVTIMEO || name == SO_RCVTIMEONEW {
			c.ReceiveTimeout.Store(ns)
		} else {
			c.SendTimeout.Store(ns)
		}
		return nil
	case unix.SO_PASSCRED:
		if c.Family != unix.AF_UNIX && c.Family != unix.AF_NETLINK {
			return unix.EOPNOTSUPP
		}
		c.PassCred.Store(v != 0)
		return nil
	case unix.SO_PRIORITY:
		if (v < 0 || v > 6) && !c.netCap(ctx) {
			return unix.EPERM
		}
	case unix.SO_MARK:
		if !c.netCap(ctx) {
			return unix.EPERM
		}
	case unix.SO_DEBUG:
		if v != 0 && !c.HasCap(ctx, unix.CAP_NET_ADMIN) {
			return unix.EACCES
		}
	case unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE:
		if !c.HasCap(ctx, unix.CAP_NET_ADMIN) {
			return unix.EPERM
		}
	case unix.SO_ZEROCOPY:
		if c.Family != unix.AF_INET && c.Family != unix.AF_INET6 {
			return unix.EOPNOTSUPP
		}
	case unix.SO_REUSEPORT:
		if v != 0 && c.Family != unix.AF_INET && c.Family != unix.AF_INET6 {
			return unix.EOPNOTSUPP
		}
	}
	return s.SetOption(ctx, level, name, value)
}

// netCap reports whether ctx may set what concerns all of the network namespace.
func (c *Common) netCap(ctx *vfs.Context) bool {
	return c.HasCap(ctx, unix.CAP_NET_ADMIN) || c.HasCap(ctx, unix.CAP_NET_RAW)
}

// GetKept is GetOption of SOL_SOCKET for a family on which the option has no
// effect. ENOPROTOOPT.
func (c *Common) GetKept(name, length int) ([]byte, error) {
	switch name {
	case unix.SO_ERROR:
		return Int32(int(c.Err.Swap(0))), nil
	case unix.SO_LINGER:
		return c.kept(name, 8), nil
	case unix.SO_RCVLOWAT:
		v := c.kept(name, 4)
		if v[0]|v[1]|v[2]|v[3] == 0 {
			v[0] = 1
		}
		return v, nil
	case unix.SO_ZEROCOPY:
		return Int32(0), nil
	case unix.SO_INCOMING_CPU:
		return Int32(-1), nil
	case unix.SO_BINDTODEVICE:
		return []byte{}, nil
	}
	if keeps(name) {
		return c.kept(name, 4), nil
	}
	return nil, unix.ENOPROTOOPT
}

// keeps reports whether an option is an int that a socket of any family has.
func keeps(name int) bool {
	switch name {
	case unix.SO_DEBUG, unix.SO_REUSEADDR, unix.SO_REUSEPORT, unix.SO_DONTROUTE, unix.SO_BROADCAST, unix.SO_KEEPALIVE,
		unix.SO_OOBINLINE, unix.SO_NO_CHECK, unix.SO_PRIORITY, unix.SO_MARK, unix.SO_TIMESTAMP, unix.SO_TIMESTAMPNS,
		unix.SO_RXQ_OVFL, unix.SO_BUSY_POLL, unix.SO_RCVLOWAT, unix.SO_PASSSEC, unix.SO_BINDTOIFINDEX:
		return true
	}
	return false
}

// SetKept is SetOption of SOL_SOCKET for such a family.
func (c *Common) SetKept(name int, value []byte) error {
	switch {
	case name == unix.SO_LINGER:
		if len(value) < 8 {
			return unix.EINVAL
		}
		on, _ := ToInt(value)
		p := append(Bool(on != 0), value[4:8]...)
		if on == 0 {
			p = append(p[:4], c.kept(name, 8)[4:]...)
		}
		c.keep(name, p)
		return nil
	case !keeps(name):
		return unix.ENOPROTOOPT
	}
	switch name {
	case unix.SO_PRIORITY, unix.SO_MARK, unix.SO_BUSY_POLL, unix.SO_RCVLOWAT, unix.SO_BINDTOIFINDEX:
		c.keep(name, value[:4])
	default:
		v, _ := ToInt(value)
		c.keep(name, Bool(v != 0))
	}
	return nil
}
