package netlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Layout of struct ndmsg and attributes that x/sys does not name.
const (
	ndmsgLen  = 12
	ndaDst    = 1    // NDA_DST
	ndaLLAddr = 2    // NDA_LLADDR
	ntfRouter = 0x80 // NTF_ROUTER
)

func (s *Socket) dumpNeighbours(d *dumper) error {
	family := d.r.Body[0]
	if family == unix.AF_BRIDGE {
		return s.dumpStations(d)
	}
	for _, n := range s.ports.stack.Neighbours() {
		if family != unix.AF_UNSPEC && family != nlmsg.Family(n.Addr) {
			continue
		}
		d.next(unix.RTM_NEWNEIGH, ndmsg(&n)...)
		putNeighbour(&d.Builder, &n)
		d.End()
	}
	return nil
}

// ndmsg is the struct ndmsg of an entry.
func ndmsg(n *ip.Neighbour) []byte {
	header := []byte{nlmsg.Family(n.Addr), 0, 0, 0}
	header = ne.AppendUint32(header, uint32(n.Index))
	header = ne.AppendUint16(header, n.State)
	flags := uint8(0)
	if n.Router {
		flags = ntfRouter
	}
	return append(header, flags, unix.RTN_UNICAST)
}

// putNeighbour appends the attributes of an entry.
func putNeighbour(m *nlmsg.Builder, n *ip.Neighbour) {
	m.AttrAddr(ndaDst, n.Addr)
	if n.Usable() && n.MAC != [6]byte{} {
		m.Attr(ndaLLAddr, n.MAC[:])
	}
}

// neighbour finds an entry, or nil.
func (s *Socket) neighbour(index int32, a netip.Addr) *ip.Neighbour {
	for _, n := range s.ports.stack.Neighbours() {
		if n.Index == index && n.Addr == a {
			return &n
		}
	}
	return nil
}

// getNeighbour answers with one entry. ENOENT.
func (s *Socket) getNeighbour(r *nlmsg.Request) error {
	if len(r.Body) < ndmsgLen {
		return unix.EINVAL
	}
	attrs, err := nlmsg.Attributes(r.Body[ndmsgLen:])
	if err != nil {
		return err
	}
	a, err := nlmsg.Addr(r.Body[0], attrs[ndaDst])
	if err != nil {
		return err
	}
	n := s.neighbour(int32(ne.Uint32(r.Body[4:])), a)
	if n == nil {
		return unix.ENOENT
	}
	var m nlmsg.Builder
	m.Begin(unix.RTM_NEWNEIGH, 0, r.Seq, s.localPort(), ndmsg(n)...)
	putNeighbour(&m, n)
	m.End()
	s.deliver(datagram{data: m.B})
	return nil
}

// changeNeighbour adds or removes an entry of the neighbour table.
func (s *Socket) changeNeighbour(r *nlmsg.Request) error {
	if len(r.Body) < ndmsgLen {
		return unix.EINVAL
	}
	if r.Body[0] == unix.AF_BRIDGE {
		return s.changeStation(r)
	}
	attrs, err := nlmsg.Attributes(r.Body[ndmsgLen:])
	if err != nil {
		return err
	}
	n := ip.Neighbour{Index: int32(ne.Uint32(r.Body[4:])), State: ne.Uint16(r.Body[8:]), Router: r.Body[10]&ntfRouter != 0}
	if n.Addr, err = nlmsg.Addr(r.Body[0], attrs[ndaDst]); err != nil {
		return err
	}
	if s.ports.stack.Interface(n.Index) == nil {
		return unix.ENODEV
	}
	if r.Type == unix.RTM_DELNEIGH {
		return s.ports.stack.RemoveNeighbour(n.Index, n.Addr)
	}
	if p, ok := attrs[ndaLLAddr]; ok {
		if len(p) != len(n.MAC) {
			return unix.EINVAL
		}
		n.MAC = [6]byte(p)
	}
	switch there := s.neighbour(n.Index, n.Addr) != nil; {
	case there && r.Flags&unix.NLM_F_EXCL != 0:
		return unix.EEXIST
	case !there && r.Flags&unix.NLM_F_CREATE == 0:
		return unix.ENOENT
	}
	return s.ports.stack.SetNeighbour(n)
}
