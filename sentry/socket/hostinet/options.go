package hostinet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

var ne = binary.NativeEndian

// maxOption is the longest value of an option in bytes.
const maxOption = 4096

// passed reports whether an option may reach the host: those whose value holds no address
// in memory, and that attach no program.
func (s *Socket) passed(level, name int) bool {
	netlink := s.common.Family == unix.AF_NETLINK
	switch level {
	case unix.SOL_SOCKET:
		switch name {
		case unix.SO_DEBUG, unix.SO_REUSEADDR, unix.SO_REUSEPORT, unix.SO_ERROR, unix.SO_DONTROUTE, unix.SO_BROADCAST,
			unix.SO_SNDBUF, unix.SO_RCVBUF, unix.SO_SNDBUFFORCE, unix.SO_RCVBUFFORCE, unix.SO_KEEPALIVE, unix.SO_OOBINLINE,
			unix.SO_NO_CHECK, unix.SO_PRIORITY, unix.SO_LINGER, unix.SO_RCVLOWAT, unix.SO_TIMESTAMP, unix.SO_TIMESTAMPNS,
			unix.SO_ACCEPTCONN, unix.SO_MARK, unix.SO_RXQ_OVFL, unix.SO_BINDTODEVICE, unix.SO_BINDTOIFINDEX, unix.SO_BUSY_POLL,
			unix.SO_INCOMING_CPU, unix.SO_MAX_PACING_RATE, unix.SO_MEMINFO, unix.SO_BUF_LOCK:
			return true
		}
	case unix.SOL_NETLINK:
		return netlink
	case unix.IPPROTO_IP:
		return !netlink && name < 64 // from 64 on are tables of the packet filter
	case unix.IPPROTO_IPV6:
		return !netlink && s.common.Family == unix.AF_INET6 && name != 64 && name != 65 && name != 68 && name < 80
	case unix.IPPROTO_TCP:
		switch name {
		case unix.TCP_ULP, unix.TCP_ZEROCOPY_RECEIVE, unix.TCP_REPAIR, unix.TCP_MD5SIG, unix.TCP_MD5SIG_EXT:
			return false
		}
		return s.common.Type == unix.SOCK_STREAM && name < 40
	case unix.IPPROTO_UDP:
		return name == unix.UDP_SEGMENT || name == unix.UDP_GRO || name == unix.UDP_CORK
	case unix.IPPROTO_ICMPV6, unix.SOL_RAW:
		return s.common.Type == unix.SOCK_RAW
	}
	return false
}

// GetOption implements socket.Socket.
func (s *Socket) GetOption(_ *vfs.Context, level, name, length int) ([]byte, error) {
	if !s.passed(level, name) {
		return nil, unix.ENOPROTOOPT
	}
	return hostGetOption(s.fd, level, name, min(length, maxOption))
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(_ *vfs.Context, level, name int, value []byte) error {
	if !s.passed(level, name) {
		return unix.ENOPROTOOPT
	}
	return hostSetOption(s.fd, level, name, value)
}
