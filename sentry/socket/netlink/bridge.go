package netlink

import (
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link/bridge"
	"casemate/netstack/link/ipvlan"
	"casemate/netstack/nlmsg"
	"casemate/netstack/wire"
)

// Attributes of bridges (IFLA_BR_*) and of their forwarding databases, and what is in
// them. Times are in hundredths of a second.
const (
	brForwardDelay = 1
	brHelloTime    = 2
	brMaxAge       = 3
	brAgeingTime   = 4
	brSTPState     = 5
	brPriority     = 6
	brVLANFilter   = 7

	ndaCacheInfo   = 3 // NDA_CACHEINFO
	ndaMaster      = 9
	ntfSelf        = 0x02
	ntfMaster      = 0x04
	clockTick      = 10 * time.Millisecond
	maxAgeingTicks = 1 << 31
)

// putBridge appends the attributes of a bridge.
func putBridge(m *nlmsg.Builder, b *bridge.Bridge) {
	m.Attr32(brForwardDelay, b.Tree.ForwardDelay.Load())
	m.Attr32(brHelloTime, b.Tree.HelloTime.Load())
	m.Attr32(brMaxAge, b.Tree.MaxAge.Load())
	m.Attr32(brAgeingTime, uint32(b.Ageing()/clockTick))
	m.Attr32(brSTPState, 0)
	m.Attr(brPriority, ne.AppendUint16(nil, uint16(b.Tree.Priority.Load())))
	m.Attr8(brVLANFilter, 0)
}

// changeBridge sets parameters of a bridge. EOPNOTSUPP for what bridges here do not do: the spanning
// tree, VLANs.
func changeBridge(b *bridge.Bridge, attrs map[uint16][]byte) error {
	for attr, p := range attrs {
		var v uint32
		switch len(p) {
		case 1:
			v = uint32(p[0])
		case 2:
			v = uint32(ne.Uint16(p))
		case 4:
			v = ne.Uint32(p)
		default:
			return nlmsg.At(unix.EINVAL, p)
		}
		switch attr {
		case brForwardDelay:
			b.Tree.ForwardDelay.Store(v)
		case brHelloTime:
			b.Tree.HelloTime.Store(v)
		case brMaxAge:
			b.Tree.MaxAge.Store(v)
		case brPriority:
			b.Tree.Priority.Store(v)
		case brAgeingTime:
			b.SetAgeing(time.Duration(min(v, maxAgeingTicks)) * clockTick)
		case brSTPState, brVLANFilter:
			if v != 0 {
				return nlmsg.At(unix.EOPNOTSUPP, p)
			}
		default:
			return nlmsg.At(unix.EOPNOTSUPP, p)
		}
	}
	return nil
}

// setMaster is IFLA_MASTER: the interface becomes a port of the bridge with an index, or, if that is
// 0, of none.
func setMaster(i *ip.Interface, p []byte) error {
	index, err := nlmsg.Uint32(p)
	if err != nil {
		return err
	}
	if m := i.Master(); m != nil {
		if m.Interface().Index() == int32(index) {
			return nil
		}
		i.SetMaster(nil) // whatever comes of the rest
	}
	if index == 0 {
		return nil
	}
	to := i.Stack().Interface(int32(index))
	if to == nil {
		return unix.EINVAL
	}
	b, ok := to.Link().(*bridge.Bridge)
	if !ok {
		return unix.EOPNOTSUPP
	}
	if _, ok := i.Link().(*ipvlan.Link); ok {
		return unix.EINVAL // a bridge's stations have addresses of their own
	}
	return i.SetMaster(b)
}

// dumpStations are the forwarding databases of all bridges, or of one.
func (s *Socket) dumpStations(d *dumper) error {
	only := uint32(0)
	if len(d.r.Body) >= ndmsgLen {
		attrs, err := nlmsg.Attributes(d.r.Body[ndmsgLen:])
		if err != nil {
			return err
		}
		if p, ok := attrs[ndaMaster]; ok {
			if only, err = nlmsg.Uint32(p); err != nil {
				return err
			}
		}
	}
	for _, i := range s.ports.stack.Interfaces() {
		b, ok := i.Link().(*bridge.Bridge)
		if !ok || only != 0 && only != uint32(i.Index()) {
			continue
		}
		for _, x := range b.Stations() {
			state := uint16(unix.NUD_REACHABLE)
			switch {
			case x.Local:
				state = unix.NUD_PERMANENT
			case x.Static:
				state = unix.NUD_NOARP
			}
			header := ne.AppendUint32([]byte{unix.AF_BRIDGE, 0, 0, 0}, uint32(x.Port.Index()))
			header = append(ne.AppendUint16(header, state), 0, 0)
			d.next(unix.RTM_NEWNEIGH, header...)
			d.Attr(ndaLLAddr, x.MAC[:])
			d.Attr32(ndaMaster, uint32(i.Index()))
			age := uint32(x.Age / clockTick)
			var info []byte // struct nda_cacheinfo
			for _, v := range [...]uint32{age, age, age, 0} {
				info = ne.AppendUint32(info, v)
			}
			d.Attr(ndaCacheInfo, info)
			d.End()
		}
	}
	return nil
}

// changeStation adds or removes an entry of a bridge's forwarding database. EOPNOTSUPP for those of
// devices themselves; EINVAL, ENODEV, EEXIST, ENOENT.
func (s *Socket) changeStation(r *nlmsg.Request) error {
	attrs, err := nlmsg.Attributes(r.Body[ndmsgLen:])
	if err != nil {
		return err
	}
	port := s.ports.stack.Interface(int32(ne.Uint32(r.Body[4:])))
	if port == nil {
		return unix.ENODEV
	}
	p := attrs[ndaLLAddr]
	if len(p) != len(wire.MAC{}) {
		return unix.EINVAL
	}
	mac := wire.MAC(p)
	b, ok := port.Master().(*bridge.Bridge)
	if flags := r.Body[10]; flags&ntfSelf != 0 || flags&ntfMaster == 0 || !ok {
		return unix.EOPNOTSUPP
	}
	if r.Type == unix.RTM_DELNEIGH {
		return b.RemoveStation(mac, port)
	}
	state := ne.Uint16(r.Body[8:])
	if state&unix.NUD_PERMANENT != 0 {
		return unix.EOPNOTSUPP // an address of this host besides the port's own
	}
	for _, x := range b.Stations() {
		if x.MAC == mac && r.Flags&unix.NLM_F_EXCL != 0 {
			return unix.EEXIST
		}
	}
	return b.AddStation(mac, port, state&unix.NUD_NOARP != 0)
}
