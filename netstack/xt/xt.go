// Package xt has the matches and targets of xtables (iptables-extensions(8)) in the binary
// form in which iptables gives them to the kernel, alone or inside of rules of nftables.
package xt

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
)

var (
	ne = binary.NativeEndian
	be = binary.BigEndian
)

// A Match is a condition on packets.
type Match interface {
	Matches(c *filter.Context) bool
}

// A Target does something with a packet.
type Target interface {
	Apply(c *filter.Context) Verdict
}

// A Verdict is what a Target says.
type Verdict int32

// Verdicts.
const (
	Drop     Verdict = 0
	Accept   Verdict = 1
	Continue Verdict = -1
	Return   Verdict = -5
)

// A Use is where a match or target stands.
type Use struct {
	Family uint8 // NFPROTO_*; unspecified in rules for IPv4 and IPv6
	// Proto is the protocol that the rule asks for, 0 for any; InverseProto says that it is all but that.
	Proto        uint16
	InverseProto bool
}

// A definition is a revision of a match or target.
type definition struct {
	name     string
	family   uint8 // NFPROTO_UNSPEC: any
	revision uint8
	size     int // bytes of its data
	match    func(u Use, b []byte) (Match, error)
	target   func(u Use, b []byte) (Target, error)
}

// align is XT_ALIGN.
func align(n int) int { return (n + 7) &^ 7 }

func find(l []definition, u Use, name string, rev uint8) *definition {
	for i := range l {
		d := &l[i]
		if d.name == name && d.revision == rev && (d.family == unix.NFPROTO_UNSPEC || u.Family == unix.NFPROTO_UNSPEC || d.family == u.Family) {
			return d
		}
	}
	return nil
}

// NewMatch makes a match of its data. ENOENT if there is none of that name and revision,
// EINVAL.
func NewMatch(u Use, name string, rev uint8, info []byte) (Match, error) {
	d := find(matches, u, name, rev)
	if d == nil {
		return nil, unix.ENOENT
	}
	if len(info) != d.size && len(info) != align(d.size) {
		return nil, unix.EINVAL
	}
	return d.match(u, info)
}

// NewTarget makes a target of its data. ENOENT, EINVAL.
func NewTarget(u Use, name string, rev uint8, info []byte) (Target, error) {
	d := find(targets, u, name, rev)
	if d == nil {
		return nil, unix.ENOENT
	}
	if len(info) != d.size && len(info) != align(d.size) {
		return nil, unix.EINVAL
	}
	return d.target(u, info)
}

// Revision reports whether there is a match or target of a revision, and the highest one that
// there is, -1 if there is none.
func Revision(family uint8, name string, target bool, rev uint8) (best int, ok bool) {
	l := matches
	if target {
		l = targets
	}
	best = -1
	for i := range l {
		if d := &l[i]; d.name == name && (d.family == unix.NFPROTO_UNSPEC || family == unix.NFPROTO_UNSPEC || d.family == family) {
			best = max(best, int(d.revision))
			ok = ok || d.revision == rev
		}
	}
	return best, ok
}

// Tracks reports whether a match or target needs connections.
func Tracks(name string) bool {
	switch name {
	case "conntrack", "state", "connmark", "CONNMARK":
		return true
	}
	return false
}

// TargetHooks are the hooks at which a target can be, as bits, 0 for all, and whether it can
// be in chains of NAT only.
func TargetHooks(name string) (hooks uint, nat bool) {
	switch name {
	case "DNAT", "REDIRECT":
		return 1<<unix.NF_INET_PRE_ROUTING | 1<<unix.NF_INET_LOCAL_OUT, true
	case "SNAT":
		return 1<<unix.NF_INET_POST_ROUTING | 1<<unix.NF_INET_LOCAL_IN, true
	case "MASQUERADE":
		return 1 << unix.NF_INET_POST_ROUTING, true
	case "REJECT":
		return 1<<unix.NF_INET_LOCAL_IN | 1<<unix.NF_INET_FORWARD | 1<<unix.NF_INET_LOCAL_OUT, false
	}
	return 0, false
}

// inRange reports whether v is within the two, or if inverse, is not.
func inRange[T uint8 | uint16 | uint32](v, low, high T, inverse bool) bool {
	return (v >= low && v <= high) != inverse
}

// addr reads a union nf_inet_addr of a family.
func addr(b []byte, family uint8) netip.Addr {
	if family == unix.AF_INET {
		return netip.AddrFrom4([4]byte(b))
	}
	return netip.AddrFrom16([16]byte(b))
}

// masked reports whether a, under the mask, is what b holds, which are unions nf_inet_addr.
func masked(a netip.Addr, b, mask []byte) bool {
	for i, x := range a.AsSlice() {
		if (x^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}
