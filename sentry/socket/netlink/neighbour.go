package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
)

// Layout of struct ndmsg and attributes that x/sys does not name.
const (
	ndmsgLen  = 12
	ndaDst    = 1    // NDA_DST
	ndaLLAddr = 2    // NDA_LLADDR
	ntfRouter = 0x80 // NTF_ROUTER
)

func (s *Socket) dumpNeighbours(d *dumper) error {
	family := d.r.body[0]
	for _, n := range s.ports.stack.Neighbours() {
		f := familyOf(n.Addr)
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
		d.attrAddr(ndaDst, n.Addr)
		if n.MAC != [6]byte{} {
			d.attr(ndaLLAddr, n.MAC[:])
		}
		d.end()
	}
	return nil
}

// changeNeighbour adds or removes an entry of the neighbour table.
func (s *Socket) changeNeighbour(r *request) error {
	if len(r.body) < ndmsgLen {
		return unix.EINVAL
	}
	attrs, err := attributes(r.body[ndmsgLen:])
	if err != nil {
		return err
	}
	n := ip.Neighbour{Index: int32(ne.Uint32(r.body[4:])), State: ne.Uint16(r.body[8:]), Router: r.body[10]&ntfRouter != 0}
	if n.Addr, err = addrOf(r.body[0], attrs[ndaDst]); err != nil {
		return err
	}
	if s.ports.stack.Interface(n.Index) == nil {
		return unix.ENODEV
	}
	if r.typ == unix.RTM_DELNEIGH {
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
