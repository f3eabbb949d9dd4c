package inet

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
)

// Sizes of addresses; an AF_INET6 address may come without sin6_scope_id (RFC 2133).
const (
	sizeIn     = unix.SizeofSockaddrInet4
	sizeIn6    = unix.SizeofSockaddrInet6
	sizeIn6Old = 24
)

// family is sa_family, -1 if p is too short.
func family(p []byte) int {
	if len(p) < 2 {
		return -1
	}
	return int(binary.NativeEndian.Uint16(p))
}

// parseIn reads a struct sockaddr_in without looking at its family. EINVAL.
func parseIn(p []byte) (sock.Addr, error) {
	if len(p) < sizeIn {
		return sock.Addr{}, unix.EINVAL
	}
	return sock.Addr{Addr: netip.AddrFrom4([4]byte(p[4:8])), Port: binary.BigEndian.Uint16(p[2:])}, nil
}

// parseIn6 reads a struct sockaddr_in6 without looking at its family. EINVAL.
func parseIn6(p []byte) (sock.Addr, error) {
	if len(p) < sizeIn6Old {
		return sock.Addr{}, unix.EINVAL
	}
	a := sock.Addr{Addr: netip.AddrFrom16([16]byte(p[8:24])), Port: binary.BigEndian.Uint16(p[2:]), FlowInfo: binary.BigEndian.Uint32(p[4:])}
	if len(p) >= sizeIn6 {
		a.Scope = binary.NativeEndian.Uint32(p[24:])
	}
	return a, nil
}

// mapped is an IPv4 address as an AF_INET6 socket has it.
func mapped(a sock.Addr) sock.Addr {
	a.Addr = netip.AddrFrom16(a.Addr.As16())
	return a
}

// bindAddr reads the address of bind(2). EINVAL, EAFNOSUPPORT.
func (s *Socket) bindAddr(p []byte) (sock.Addr, error) {
	if s.common.Family == unix.AF_INET6 {
		if len(p) >= 2 && len(p) >= sizeIn6Old && family(p) != unix.AF_INET6 {
			return sock.Addr{}, unix.EAFNOSUPPORT
		}
		return parseIn6(p)
	}
	a, err := parseIn(p)
	if err != nil {
		return a, err
	}
	// Old programs bind to any address without a family.
	if f := family(p); f != unix.AF_INET && !(f == unix.AF_UNSPEC && a.Addr.IsUnspecified()) {
		return a, unix.EAFNOSUPPORT
	}
	return a, nil
}

// peerAddr reads the address of connect(2) and sendto(2); AF_UNSPEC gives an invalid
// one for connect. EINVAL, EAFNOSUPPORT, ENETUNREACH.
func (s *Socket) peerAddr(p []byte, connect bool) (sock.Addr, error) {
	f := family(p)
	if f < 0 {
		return sock.Addr{}, unix.EINVAL
	}
	if connect && f == unix.AF_UNSPEC {
		return sock.Addr{}, nil
	}
	if s.common.Family == unix.AF_INET {
		if len(p) < sizeIn {
			return sock.Addr{}, unix.EINVAL
		}
		if f != unix.AF_INET && (connect || f != unix.AF_UNSPEC) {
			return sock.Addr{}, unix.EAFNOSUPPORT
		}
		return parseIn(p)
	}
	if f == unix.AF_INET && s.common.Type != unix.SOCK_STREAM {
		a, err := parseIn(p)
		if err != nil {
			return a, err
		}
		if s.ep.Options().V6Only.Load() {
			if connect {
				return a, unix.EAFNOSUPPORT
			}
			return a, unix.ENETUNREACH
		}
		return mapped(a), nil
	}
	if len(p) < sizeIn6Old {
		return sock.Addr{}, unix.EINVAL
	}
	if f != unix.AF_INET6 {
		return sock.Addr{}, unix.EAFNOSUPPORT
	}
	return parseIn6(p)
}

// appendSockaddr appends a as a struct sockaddr of the family to p.
func appendSockaddr(p []byte, fam int, a sock.Addr) []byte {
	p = binary.NativeEndian.AppendUint16(p, uint16(fam))
	p = binary.BigEndian.AppendUint16(p, a.Port)
	if fam == unix.AF_INET {
		var b [4]byte
		if a.Addr.Is4() {
			b = a.Addr.As4()
		}
		return append(append(p, b[:]...), 0, 0, 0, 0, 0, 0, 0, 0)
	}
	var b [16]byte
	if a.Addr.IsValid() {
		b = a.Addr.As16()
	}
	p = binary.BigEndian.AppendUint32(p, a.FlowInfo)
	p = append(p, b[:]...)
	return binary.NativeEndian.AppendUint32(p, a.Scope)
}
