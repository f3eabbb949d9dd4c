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

func fromTimeval(p []byte) (int64, error) {
	if len(p) < 16 {
		return 0, unix.EINVAL
	}
	sec, usec := int64(binary.NativeEndian.Uint64(p)), int64(binary.NativeEndian.Uint64(p[8:]))
	if usec < 0 || usec >= 1e6 {
		return 0, unix.EDOM
	}
	if sec < 0 || sec > maxTimeout/1_000_000_000 {
		return 0, nil
	}
	return sec*1e9 + usec*1e3, nil
}

// Get serves getsockopt(2).
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
	case unix.SO_ERROR:
		return Int32(int(c.Err.Swap(0))), nil
	case unix.SO_PASSCRED:
		return Bool(c.PassCred.Load()), nil
	case unix.SO_PASSSEC:
		return Bool(c.PassSec.Load()), nil
	case unix.SO_RCVTIMEO:
		return timeval(c.ReceiveTimeout.Load()), nil
	case unix.SO_SNDTIMEO:
		return timeval(c.SendTimeout.Load()), nil
	case unix.SO_PRIORITY, unix.SO_MARK, unix.SO_BUSY_POLL, unix.SO_NO_CHECK:
		return c.kept(name), nil
	}
	return s.GetOption(ctx, level, name, length)
}

// Set serves setsockopt(2).
func Set(ctx *vfs.Context, s Socket, level, name int, value []byte) error {
	c := s.Common()
	if level != unix.SOL_SOCKET {
		return s.SetOption(ctx, level, name, value)
	}
	switch name {
	case unix.SO_TYPE, unix.SO_DOMAIN, unix.SO_PROTOCOL, unix.SO_ERROR, unix.SO_ACCEPTCONN, unix.SO_PEERCRED:
		return unix.ENOPROTOOPT
	case unix.SO_RCVTIMEO, unix.SO_SNDTIMEO:
		ns, err := fromTimeval(value)
		if err != nil {
			return err
		}
		if name == unix.SO_RCVTIMEO {
			c.ReceiveTimeout.Store(ns)
		} else {
			c.SendTimeout.Store(ns)
		}
		return nil
	}
	v, err := ToInt(value)
	if err != nil && name != unix.SO_LINGER && name != unix.SO_BINDTODEVICE {
		return err
	}
	switch name {
	case unix.SO_PASSCRED:
		c.PassCred.Store(v != 0)
		return nil
	case unix.SO_PASSSEC:
		c.PassSec.Store(v != 0)
		return nil
	case unix.SO_PRIORITY:
		if (v < 0 || v > 6) && !ctx.Cred.HasCap(unix.CAP_NET_ADMIN) && !ctx.Cred.HasCap(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		c.keep(name, value[:4])
		return nil
	case unix.SO_MARK:
		if !ctx.Cred.HasCap(unix.CAP_NET_ADMIN) && !ctx.Cred.HasCap(unix.CAP_NET_RAW) {
			return unix.EPERM
		}
		c.keep(name, value[:4])
		return nil
	case unix.SO_BUSY_POLL, unix.SO_NO_CHECK:
		c.keep(name, value[:4])
		return nil
	case unix.SO_DEBUG:
		if v != 0 && !ctx.Cred.HasCap(unix.CAP_NET_ADMIN) {
			return unix.EACCES
		}
		return nil
	}
	return s.SetOption(ctx, level, name, value)
}
