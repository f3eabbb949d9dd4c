package ip

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// A Master has ports: interfaces of the same stack whose packets are not for the stack but for it,
// as a bridge has.
type Master interface {
	// Interface is the master's own interface.
	Interface() *Interface
	// Input takes what a port has received, with its Ethernet header, and becomes its owner.
	Input(port *Interface, p *pkt.Packet)
	// Join is called when an interface becomes a port, Leave when it is one no longer. Join may
	// refuse.
	Join(port *Interface) error
	Leave(port *Interface)
	// PortChanged is called when a port has come up, gone down, or got or lost its carrier.
	PortChanged(port *Interface)
}

// port says whose port an interface is.
type port struct{ master Master }

// Master is whose port the interface is, or nil.
func (i *Interface) Master() Master {
	if p := i.master.Load(); p != nil {
		return p.master
	}
	return nil
}

// SetMaster makes the interface a port of m, or, if m is nil, nobody's. EBUSY if it is somebody
// else's, EINVAL for what can be no port; and m's own errors. No lock is held.
func (i *Interface) SetMaster(m Master) error {
	if m == nil {
		i.release()
		return nil
	}
	own := m.Interface()
	if i.info.Type != unix.ARPHRD_ETHER || own == nil || own.stack != i.stack || own == i {
		return unix.EINVAL
	}
	u := &i.origin.upper
	u.mu.Lock()
	free := u.sharer.Load() == nil && i.master.CompareAndSwap(nil, &port{m})
	u.mu.Unlock()
	if !free {
		return unix.EBUSY
	}
	if err := m.Join(i); err != nil {
		i.master.Store(nil)
		return err
	}
	i.changed()
	return nil
}

// release makes the interface nobody's port.
func (i *Interface) release() {
	if p := i.master.Swap(nil); p != nil {
		p.master.Leave(i)
		i.changed()
	}
}

// changed tells that something about the interface has changed.
func (i *Interface) changed() {
	i.stack.mu.Lock()
	defer i.stack.mu.Unlock()
	i.stack.tell(Event{Interface: i})
}

// Transmit sends a frame that is complete but for its segmentation and checksum, as a master does
// by a port. The caller Runs the backlog.
func (i *Interface) Transmit(p *pkt.Packet) {
	if !i.up() {
		p.Free()
		return
	}
	p.OutIf = i.index
	segment := p.GSOSize != 0 && p.Len()-wire.EthernetLen > i.info.GSOMax
	if !segment && (p.Csum != pkt.CsumPartial || i.info.Csum) {
		i.send(p)
		return
	}
	i.finishFrame(p, segment)
}

// finishFrame does to a frame what the interface's link cannot, and sends it.
func (i *Interface) finishFrame(p *pkt.Packet, segment bool) {
	tag := p.Tag
	var header [wire.EthernetLen]byte
	copy(header[:], p.Pull(wire.EthernetLen))
	p.EtherType = wire.Ethernet(header[:]).Type()
	p.TrimFront(wire.EthernetLen)
	send := func(p *pkt.Packet) {
		if p.Csum == pkt.CsumPartial && !i.info.Csum {
			if p.Pull(int(p.CsumStart)+int(p.CsumOffset)+2) == nil {
				p.Free()
				return
			}
			p.CompleteSum()
		}
		copy(p.Prepend(wire.EthernetLen), header[:])
		p.Tag = tag
		i.send(p)
	}
	switch {
	case !segment:
		send(p)
	case dissect(p):
		i.stack.Segment(p, send)
	default:
		p.Free()
	}
}

// dissect sets what Segment wants to know of a packet that starts with its network header. It
// reports false if that is none.
func dissect(p *pkt.Packet) bool {
	switch p.EtherType {
	case unix.ETH_P_IP:
		h := wire.IPv4(p.Pull(wire.IPv4MinLen))
		if h == nil || h.HeaderLen() < wire.IPv4MinLen {
			return false
		}
		p.NetLen, p.Src, p.Dst, p.Proto, p.ID = uint16(h.HeaderLen()), h.Src(), h.Dst(), h.Proto(), h.ID()
	case unix.ETH_P_IPV6:
		h := wire.IPv6(p.Pull(wire.IPv6Len))
		if h == nil {
			return false
		}
		p.NetLen, p.Src, p.Dst, p.Proto = wire.IPv6Len, h.Src(), h.Dst(), h.NextHeader()
	}
	if p.Proto == unix.IPPROTO_TCP {
		return p.Pull(int(p.NetLen)+wire.TCPMinLen) != nil
	}
	return p.Proto == unix.IPPROTO_UDP
}
