package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
)

// maxGroup is the last RTNLGRP_* that Linux knows.
const maxGroup = 40

// flag reports whether an option of SOL_NETLINK is a boolean that is kept.
func flag(name int) bool {
	switch name {
	case unix.NETLINK_PKTINFO, unix.NETLINK_BROADCAST_ERROR, unix.NETLINK_NO_ENOBUFS, unix.NETLINK_CAP_ACK,
		unix.NETLINK_EXT_ACK, unix.NETLINK_GET_STRICT_CHK:
		return true
	}
	return false
}

func (s *Socket) option(name int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.options[name]
}

// GetOption implements socket.Socket.
func (s *Socket) GetOption(_ *vfs.Context, level, name, length int) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch level {
	case unix.SOL_SOCKET:
		switch name {
		case unix.SO_SNDBUF:
			return socket.Int32(s.sndbuf), nil
		case unix.SO_RCVBUF:
			return socket.Int32(s.rcvbuf), nil
		case unix.SO_ACCEPTCONN:
			return socket.Int32(0), nil
		case unix.SO_PEERCRED:
			return append(socket.Int32(0), append(socket.Int32(-1), socket.Int32(-1)...)...), nil
		}
		return s.common.GetKept(name, length)
	case unix.SOL_NETLINK:
		if flag(name) {
			return socket.Bool(s.options[name]), nil
		}
		if name == unix.NETLINK_LIST_MEMBERSHIPS {
			p := make([]byte, (maxGroup+31)/32*4)
			for _, g := range s.groups {
				p[(g-1)/8] |= 1 << ((g - 1) % 8)
			}
			return p, nil
		}
	}
	return nil, unix.ENOPROTOOPT
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(_ *vfs.Context, level, name int, value []byte) error {
	v, err := socket.ToInt(value)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch level {
	case unix.SOL_SOCKET:
		switch name {
		case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
			s.sndbuf = bufferSize(v, name == unix.SO_SNDBUFFORCE)
		case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE:
			s.rcvbuf = bufferSize(v, name == unix.SO_RCVBUFFORCE)
		default:
			return s.common.SetKept(name, value)
		}
		return nil
	case unix.SOL_NETLINK:
		switch {
		case flag(name):
			s.options[name] = v != 0
			return nil
		case name == unix.NETLINK_ADD_MEMBERSHIP || name == unix.NETLINK_DROP_MEMBERSHIP:
			if v < 1 || v > maxGroup {
				return unix.EINVAL
			}
			if name == unix.NETLINK_ADD_MEMBERSHIP {
				s.join(uint32(v))
			} else {
				s.leave(uint32(v))
			}
			return nil
		}
	}
	return unix.ENOPROTOOPT
}

// bufferSize is what SO_SNDBUF or SO_RCVBUF sets: twice the value, bounded.
func bufferSize(v int, force bool) int {
	if v < 0 || v > defaultBuffer && !force {
		v = defaultBuffer
	}
	return max(2*min(v, 16<<20), 4608)
}
