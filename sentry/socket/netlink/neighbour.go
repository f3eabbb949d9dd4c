package netlink

import (
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
	for _, n := range s.ports.stack.Neighbours() {
		f := nlmsg.Family(n.Addr)
		if family != unix.AF_UNSPEC && family != f {
			continue
		}
		header := []byte{f, 0, 0, 0}
		header = ne.AppendUint32(header, uint32(n.Index))
		header = ne.AppendUint16(header, n.State)
		flags := uint8(0)
		if n.Router {
			flags = ntfRouter
		}
		d.next(unix.RTM_NEWNEIGH, append(header, flags, unix.RTN_UNICAST)...)
		d.AttrAddr(ndaDst, n.Addr)
		if n.MAC != [6]byte{} {
			d.Attr(ndaLLAddr, n.MAC[:])
		}
		d.End()
	}
	return nil
}

// changeNeighbour adds or removes an entry of the neighbour table.
func (s *Socket) changeNeighbour(r *nlmsg.Request) error {
	if len(r.Body) < ndmsgLen {
		return unix.EINVAL
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
	return s.ports.stack.SetNeighbour(n)
}
