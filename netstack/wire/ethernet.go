package wire

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// MAC is an Ethernet address.
type MAC [6]byte

// BroadcastMAC is the address of all stations.
var BroadcastMAC = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast reports whether the group bit is set; broadcast has it, too.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// MulticastMAC is the group address for an IP multicast address (RFC 1112
// section 6.4, RFC 2464 section 7).
func MulticastMAC(a netip.Addr) MAC {
	if a.Is4() {
		v := a.As4()
		return MAC{0x01, 0x00, 0x5e, v[1] & 0x7f, v[2], v[3]}
	}
	v := a.As16()
	return MAC{0x33, 0x33, v[12], v[13], v[14], v[15]}
}

// Ethernet is an Ethernet II header.
type Ethernet []byte

// EthernetLen is the length of the header in bytes.
const EthernetLen = 14

// Dst is the destination.
func (h Ethernet) Dst() MAC { return MAC(h[0:6]) }

// Src is the source.
func (h Ethernet) Src() MAC { return MAC(h[6:12]) }

// Type is the EtherType.
func (h Ethernet) Type() uint16 { return be.Uint16(h[12:]) }

// IsTag reports whether an EtherType is that of a VLAN tag (IEEE 802.1Q section 9.5).
func IsTag(etherType uint16) bool {
	return etherType == unix.ETH_P_8021Q || etherType == unix.ETH_P_8021AD
}

// Put writes the header.
func (h Ethernet) Put(dst, src MAC, typ uint16) {
	copy(h, dst[:])
	copy(h[6:], src[:])
	be.PutUint16(h[12:], typ)
}

// ARP is an ARP packet for IPv4 over Ethernet (RFC 826).
type ARP []byte

// ARPLen is the length of such a packet in bytes.
const ARPLen = 28

// Operations of ARP.
const (
	ARPRequest = 1
	ARPReply   = 2
)

// Valid reports whether the packet is for IPv4 over Ethernet.
func (h ARP) Valid() bool {
	return be.Uint16(h) == 1 && be.Uint16(h[2:]) == 0x0800 && h[4] == 6 && h[5] == 4
}

// Op is the operation.
func (h ARP) Op() uint16 { return be.Uint16(h[6:]) }

// SenderMAC is the sender's hardware address.
func (h ARP) SenderMAC() MAC { return MAC(h[8:14]) }

// SenderIP is the sender's protocol address.
func (h ARP) SenderIP() netip.Addr { return netip.AddrFrom4([4]byte(h[14:18])) }

// TargetIP is the target's protocol address.
func (h ARP) TargetIP() netip.Addr { return netip.AddrFrom4([4]byte(h[24:28])) }

// Put writes a packet.
func (h ARP) Put(op uint16, smac MAC, sip netip.Addr, tmac MAC, tip netip.Addr) {
	be.PutUint16(h, 1)
	be.PutUint16(h[2:], 0x0800)
	h[4], h[5] = 6, 4
	be.PutUint16(h[6:], op)
	s, t := sip.As4(), tip.As4()
	copy(h[8:], smac[:])
	copy(h[14:], s[:])
	copy(h[18:], tmac[:])
	copy(h[24:], t[:])
}
