package netdev

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/conntrack"
)

var protocolNames = map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "icmpv6",
	unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_DCCP: "dccp", unix.IPPROTO_UDPLITE: "udplite"}

// Conntrack is /proc/net/nf_conntrack.
func Conntrack(s *netstack.Stack) string {
	var b strings.Builder
	t := s.Filter.Conns
	for _, c := range t.All() {
		l3, n3 := "ipv4", unix.AF_INET
		if c.Orig.Src.Is6() {
			l3, n3 = "ipv6", unix.AF_INET6
		}
		name := protocolNames[c.Orig.Proto]
		if name == "" {
			name = "unknown"
		}
		fmt.Fprintf(&b, "%-8s %d %-8s %d %d ", l3, n3, name, c.Orig.Proto, t.Remaining(c)/time.Second)
		if c.Orig.Proto == unix.IPPROTO_TCP {
			b.WriteString(c.TCP().String() + " ")
		}
		tuple(&b, &c.Orig)
		if c.Status()&conntrack.SeenReply == 0 {
			b.WriteString("[UNREPLIED] ")
		}
		tuple(&b, &c.Reply)
		if c.Status()&conntrack.Assured != 0 {
			b.WriteString("[ASSURED] ")
		}
		fmt.Fprintf(&b, "mark=%d zone=0 use=2\n", c.Mark.Load())
	}
	return b.String()
}

func tuple(b *strings.Builder, k *conntrack.Tuple) {
	fmt.Fprintf(b, "src=%s dst=%s ", k.Src.StringExpanded(), k.Dst.StringExpanded())
	switch k.Proto {
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		fmt.Fprintf(b, "type=%d code=%d id=%d ", k.DPort>>8, k.DPort&0xff, k.SPort)
	default:
		fmt.Fprintf(b, "sport=%d dport=%d ", k.SPort, k.DPort)
	}
}
