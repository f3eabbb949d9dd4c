package netlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Flags of the answer about a way that are not those of a route (RTCF_*), attributes that x/sys does
// not name, and the size of a struct rta_cacheinfo.
const (
	fibMatch      = 0x2000 // RTM_F_FIB_MATCH
	lookupTable   = 0x1000 // RTM_F_LOOKUP_TABLE
	wayBroadcast  = 1 << 28
	wayMulticast  = 1 << 29
	wayLocal      = 1 << 31
	cacheInfoSize = 32
)

// getRoute answers with the way to a destination, or, if it is asked to, with the route that is
// taken (ip-route(8), get).
func (s *Socket) getRoute(r *nlmsg.Request) error {
	want, src, err := parseRoute(r)
	if err != nil {
		return err
	}
	flags := ne.Uint32(r.Body[8:])
	attrs, err := nlmsg.Attributes(r.Body[unix.SizeofRtMsg:])
	if err != nil {
		return err
	}
	iif, mark := int32(0), uint32(0)
	if p, ok := attrs[unix.RTA_IIF]; ok {
		v, err := nlmsg.Uint32(p)
		if err != nil {
			return err
		}
		iif = int32(v)
	}
	if p, ok := attrs[unix.RTA_MARK]; ok {
		if mark, err = nlmsg.Uint32(p); err != nil {
			return err
		}
	}
	from := ""
	if iif != 0 {
		i := s.ports.stack.Interface(iif)
		if i == nil {
			return unix.ENODEV
		}
		from = i.Name()
	}
	dst := want.Dst.Addr()
	way, entry, err := s.ports.stack.Match(src, dst, from, want.OIF, mark)
	if err != nil {
		return err
	}
	if flags&fibMatch != 0 && entry != nil {
		s.answerRoute(r, entry, nil)
		return nil
	}
	e := ip.RouteEntry{Dst: netip.PrefixFrom(dst, dst.BitLen()), OIF: way.Iface.Index(), Table: unix.RT_TABLE_MAIN, Type: way.Type}
	if entry != nil {
		e.MTU = entry.MTU
		if dst.Is6() {
			e.Protocol, e.Metric = entry.Protocol, entry.Metric
		}
		if flags&lookupTable != 0 {
			e.Table = entry.Table
		}
	}
	if !src.IsValid() {
		e.PrefSrc = way.Src
	}
	if way.Next.IsValid() && way.Next != dst {
		e.Gateway = way.Next
	}
	answer := uint32(unix.RTM_F_CLONED)
	if dst.Is6() {
		answer = 0 // it is the table's own
	}
	switch way.Type {
	case unix.RTN_LOCAL:
		e.Table = s.localTable(dst)
		answer |= wayLocal
		if dst.Is6() {
			e.Protocol = unix.RTPROT_KERNEL
		}
	case unix.RTN_BROADCAST:
		e.Table = s.localTable(dst)
		answer |= wayBroadcast | wayLocal
	case unix.RTN_MULTICAST:
		answer |= wayMulticast | wayLocal
	}
	s.answerRoute(r, &e, func(m *nlmsg.Builder, header []byte) {
		ne.PutUint32(header[8:], answer)
		if dst.Is6() && !src.IsValid() {
			src = netip.IPv6Unspecified()
		}
		if src.IsValid() {
			header[2] = uint8(src.BitLen())
			m.AttrAddr(unix.RTA_SRC, src)
		}
		if mark != 0 {
			m.Attr32(unix.RTA_MARK, mark)
		}
		if iif != 0 {
			m.Attr32(unix.RTA_IIF, uint32(iif))
		} else if dst.Is4() {
			m.Attr32(unix.RTA_UID, 0) // who would send: the kernel itself
		}
		m.Attr(unix.RTA_CACHEINFO, make([]byte, cacheInfoSize))
	})
	return nil
}

// localTable is the table of which Linux says that it has a local address: of IPv4, both tables are one until there are
// rules.
func (s *Socket) localTable(a netip.Addr) uint32 {
	if a.Is4() && s.ports.stack.PlainRules(false) {
		return unix.RT_TABLE_MAIN
	}
	return unix.RT_TABLE_LOCAL
}

// answerRoute answers a request with a route; more adds to its attributes and changes its header.
func (s *Socket) answerRoute(r *nlmsg.Request, e *ip.RouteEntry, more func(m *nlmsg.Builder, header []byte)) {
	var m nlmsg.Builder
	header := s.ports.rtmsg(e)
	m.Begin(unix.RTM_NEWROUTE, 0, r.Seq, s.localPort(), header...)
	s.ports.putRoute(&m, e)
	if more != nil {
		more(&m, m.B[unix.SizeofNlMsghdr:][:len(header)])
	}
	m.End()
	s.deliver(datagram{data: m.B})
}
