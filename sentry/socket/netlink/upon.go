package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/vfs"
)

// maxDepth is how many interfaces may be upon each other (MAX_NEST_DEV).
const maxDepth = 8

// below is the interface upon which a request wants a new one (IFLA_LINK): of the namespace that the request names by
// a number (IFLA_LINK_NETNSID), or s's own. nil if there is none; EINVAL, EACCES, EMLINK.
func (s *Socket) below(ctx *vfs.Context, l *linkRequest) (*ip.Interface, error) {
	index, err := nlmsg.Uint32(l.attrs[unix.IFLA_LINK])
	if err != nil {
		return nil, err
	}
	at := s.ports
	if p, ok := l.attrs[unix.IFLA_LINK_NETNSID]; ok {
		if at, err = s.numbered(ctx, p); err != nil {
			return nil, err
		}
	}
	i := at.stack.Interface(int32(index))
	depth := 0
	for o := i; o != nil; o = underneath(o) {
		depth++
	}
	if depth >= maxDepth {
		return nil, unix.EMLINK
	}
	return i, nil
}

// parseUpon reads what a request for a macvlan or an ipvlan says of it, and is below for one that must be there: ENODEV.
func (s *Socket) parseUpon(ctx *vfs.Context, l *linkRequest, data []byte) (below *ip.Interface, attrs map[uint16][]byte, err error) {
	if attrs, err = nlmsg.Attributes(data); err != nil {
		return nil, nil, err
	}
	if below, err = s.below(ctx, l); err == nil && below == nil {
		err = unix.ENODEV
	}
	return below, attrs, err
}

// fits refuses an MTU that is larger than that of the interface below: EINVAL.
func (l *linkRequest) fits(below *ip.Interface) error {
	if mtu, err := nlmsg.Uint32(l.attrs[unix.IFLA_MTU]); err == nil && int64(mtu) > int64(below.MTU()) {
		return unix.EINVAL
	}
	return nil
}
