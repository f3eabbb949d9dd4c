// Package link has the interface between network interfaces and what carries
// their packets. The kinds of link are packages below.
package link

import (
	"casemate/netstack/backlog"
	"casemate/netstack/pkt"
)

// Info is what a link is and can do.
type Info struct {
	Type   uint16 // ARPHRD_*
	Flags  uint32 // IFF_LOOPBACK, IFF_POINTOPOINT, IFF_BROADCAST, IFF_MULTICAST, IFF_NOARP
	MTU    int    // bytes behind the link header
	HWAddr [6]byte
	// GSOMax is the largest IP packet, in bytes, with GSOSize set that Send takes; 0: none.
	GSOMax int
	// Csum says that Send takes packets with CsumPartial.
	Csum bool
	// Tags says that Send takes frames with a Tag, and that the link gives them with theirs.
	Tags bool
	// Queues is how many queues the link sends by.
	Queues int
}

// Carried is a Link whose carrier comes and goes.
type Carried interface {
	// SetUp tells that the link's interface has come up or gone down. No lock is held.
	SetUp(up bool)
	// Carrier reports whether what is sent can arrive. It takes no lock.
	Carrier() bool
}

// Checked is a Link that not everything can be asked of. No lock is held.
type Checked interface {
	// MayRise returns why the link's interface cannot come up, or nil.
	MayRise() error
	// MayHave returns why the interface cannot have the MTU, or nil.
	MayHave(mtu int) error
}

// A Listener is a Receiver that wants to know what becomes of its link. Both are called with no lock
// held.
type Listener interface {
	// CarrierChanged tells that Carrier may have another answer.
	CarrierChanged()
	// LinkGone tells that the link is of no use any more, because its other end is gone.
	LinkGone()
}

// Link carries packets of a network interface.
type Link interface {
	// Info does not change, but for its MTU.
	Info() Info
	// Attach starts reception: the link sets Rx of what arrives to rx and puts it into b.
	// Packets start with the link header if the type has one; otherwise EtherType is set.
	Attach(rx pkt.Receiver, b *backlog.Set) error
	// Send transmits p, whose owner it becomes, or drops it. It does not block and takes no
	// lock under which Put or a Receiver is called. The caller Runs the backlog later.
	Send(p *pkt.Packet)
	// Close ends reception and waits until nothing of the link runs any more.
	Close()
}
