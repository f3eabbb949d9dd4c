package netdev

import (
	"fmt"
	"strings"

	"casemate/netstack"
	"casemate/netstack/ip"
)

// A count is a counter with its name in /proc/net.
type count struct {
	name  string
	value int64
}

func of(name string, c *ip.Counter) count { return count{name, int64(c.Load())} }

// table writes counts as the two lines of /proc/net/snmp.
func table(b *strings.Builder, title string, counts []count) {
	names, values := title+":", title+":"
	for _, c := range counts {
		names += " " + c.name
		values += fmt.Sprintf(" %d", c.value)
	}
	b.WriteString(names + "\n" + values + "\n")
}

// Types of ICMP in the order of /proc/net/snmp.
var icmpTypes = []struct {
	name string
	typ  int
}{
	{"DestUnreachs", 3}, {"TimeExcds", 11}, {"ParmProbs", 12}, {"SrcQuenchs", 4}, {"Redirects", 5}, {"Echos", 8}, {"EchoReps", 0},
	{"Timestamps", 13}, {"TimestampReps", 14}, {"AddrMasks", 17}, {"AddrMaskReps", 18},
}

func icmpCounts(c *ip.ICMPCounters) []count {
	l := []count{of("InMsgs", &c.InMsgs), of("InErrors", &c.InErrors), of("InCsumErrors", &c.InCsumErrors)}
	for _, t := range icmpTypes {
		l = append(l, of("In"+t.name, &c.InType[t.typ]))
	}
	l = append(l, of("OutMsgs", &c.OutMsgs), of("OutErrors", &c.OutErrors), of("OutRateLimitGlobal", &c.OutRateLimited), count{"OutRateLimitHost", 0})
	for _, t := range icmpTypes {
		l = append(l, of("Out"+t.name, &c.OutType[t.typ]))
	}
	return l
}

func udpCounts(c *ip.UDPCounters) []count {
	return []count{
		of("InDatagrams", &c.InDatagrams), of("NoPorts", &c.NoPorts), of("InErrors", &c.InErrors), of("OutDatagrams", &c.OutDatagrams),
		of("RcvbufErrors", &c.RcvbufErrors), of("SndbufErrors", &c.SndbufErrors), of("InCsumErrors", &c.InCsumErrors),
		{"IgnoredMulti", 0}, of("MemErrors", &c.MemErrors),
	}
}

// SNMP is /proc/net/snmp.
func SNMP(s *netstack.Stack) string {
	var b strings.Builder
	c := &s.Counters
	forwarding := int64(2)
	if s.Params.Forward.Bool() {
		forwarding = 1
	}
	i := &c.IP
	table(&b, "Ip", []count{
		{"Forwarding", forwarding}, {"DefaultTTL", int64(s.Params.DefaultTTL.Get())}, of("InReceives", &i.InReceives),
		of("InHdrErrors", &i.InHdrErrors), of("InAddrErrors", &i.InAddrErrors), of("ForwDatagrams", &i.ForwDatagrams),
		of("InUnknownProtos", &i.InUnknownProtos), of("InDiscards", &i.InDiscards), of("InDelivers", &i.InDelivers),
		of("OutRequests", &i.OutRequests), of("OutDiscards", &i.OutDiscards), of("OutNoRoutes", &i.OutNoRoutes),
		of("ReasmTimeout", &i.ReasmTimeout), of("ReasmReqds", &i.ReasmReqds), of("ReasmOKs", &i.ReasmOKs), of("ReasmFails", &i.ReasmFails),
		of("FragOKs", &i.FragOKs), of("FragFails", &i.FragFails), of("FragCreates", &i.FragCreates), of("OutTransmits", &i.OutRequests),
	})
	table(&b, "Icmp", icmpCounts(&c.ICMP))
	t := &c.TCP
	table(&b, "Tcp", []count{
		{"RtoAlgorithm", 1}, {"RtoMin", 200}, {"RtoMax", 120000}, {"MaxConn", -1}, of("ActiveOpens", &t.ActiveOpens),
		of("PassiveOpens", &t.PassiveOpens), of("AttemptFails", &t.AttemptFails), of("EstabResets", &t.EstabResets), of("CurrEstab", &t.CurrEstab),
		of("InSegs", &t.InSegs), of("OutSegs", &t.OutSegs), of("RetransSegs", &t.RetransSegs), of("InErrs", &t.InErrs),
		of("OutRsts", &t.OutRsts), of("InCsumErrors", &t.InCsumErrors),
	})
	table(&b, "Udp", udpCounts(&c.UDP))
	table(&b, "UdpLite", udpCounts(&ip.UDPCounters{}))
	return b.String()
}

// SNMP6 is /proc/net/snmp6.
func SNMP6(s *netstack.Stack) string {
	var b strings.Builder
	list := func(prefix string, counts []count) {
		for _, c := range counts {
			fmt.Fprintf(&b, "%-32s\t%d\n", prefix+c.name, c.value)
		}
	}
	i, m := &s.Counters.IP6, &s.Counters.ICMP6
	list("Ip6", []count{
		of("InReceives", &i.InReceives), of("InHdrErrors", &i.InHdrErrors), of("InNoRoutes", &i.InNoRoutes), of("InAddrErrors", &i.InAddrErrors),
		of("InUnknownProtos", &i.InUnknownProtos), of("InTruncatedPkts", &i.InTruncatedPkts), of("InDiscards", &i.InDiscards),
		of("InDelivers", &i.InDelivers), of("OutForwDatagrams", &i.ForwDatagrams), of("OutRequests", &i.OutRequests),
		of("OutDiscards", &i.OutDiscards), of("OutNoRoutes", &i.OutNoRoutes), of("ReasmTimeout", &i.ReasmTimeout), of("ReasmReqds", &i.ReasmReqds),
		of("ReasmOKs", &i.ReasmOKs), of("ReasmFails", &i.ReasmFails), of("FragOKs", &i.FragOKs), of("FragFails", &i.FragFails),
		of("FragCreates", &i.FragCreates), of("InMcastPkts", &i.InMcastPkts), of("OutMcastPkts", &i.OutMcastPkts),
	})
	list("Icmp6", []count{of("InMsgs", &m.InMsgs), of("InErrors", &m.InErrors), of("OutMsgs", &m.OutMsgs), of("OutErrors", &m.OutErrors),
		of("InCsumErrors", &m.InCsumErrors), of("OutRateLimitHost", &m.OutRateLimited)})
	list("Udp6", udpCounts(&s.Counters.UDP6))
	return b.String()
}

// Netstat is /proc/net/netstat.
func Netstat(s *netstack.Stack) string {
	var b strings.Builder
	t, i := &s.Counters.TCP, &s.Counters.IP
	table(&b, "TcpExt", []count{
		of("SyncookiesSent", &t.SyncookiesSent), of("SyncookiesRecv", &t.SyncookiesRecv), of("SyncookiesFailed", &t.SyncookiesFailed),
		of("TW", &t.TW), of("TWRecycled", &t.TWRecycled), of("PAWSActive", &t.PAWSActive), of("PAWSEstab", &t.PAWSEstab),
		of("DelayedACKs", &t.DelayedACKs), of("ListenOverflows", &t.ListenOverflows), of("ListenDrops", &t.ListenDrops),
		of("TCPSackRecovery", &t.TCPSackRecovery), of("TCPSACKReneging", &t.TCPSACKReneging), of("TCPFastRetrans", &t.TCPFastRetrans),
		of("TCPSlowStartRetrans", &t.TCPSlowStartRetrans), of("TCPTimeouts", &t.TCPTimeouts), of("TCPLossProbes", &t.TCPLossProbes),
		of("TCPLossProbeRecovery", &t.TCPLossProbeRecovery), of("TCPBacklogDrop", &t.TCPBacklogDrop), of("TCPRcvCollapsed", &t.TCPRcvCollapsed),
		of("TCPDSACKOldSent", &t.TCPDSACKOldSent), of("TCPDSACKOfoSent", &t.TCPDSACKOfoSent), of("TCPDSACKRecv", &t.TCPDSACKRecv),
		of("TCPAbortOnData", &t.TCPAbortOnData), of("TCPAbortOnClose", &t.TCPAbortOnClose), of("TCPAbortOnMemory", &t.TCPAbortOnMemory),
		of("TCPAbortOnTimeout", &t.TCPAbortOnTimeout), of("TCPAbortOnLinger", &t.TCPAbortOnLinger), of("TCPSpuriousRTOs", &t.TCPSpuriousRTOs),
		of("TCPTimeWaitOverflow", &t.TCPTimeWaitOverflow), of("TCPReqQFullDoCookies", &t.TCPReqQFullDoCookies), of("TCPReqQFullDrop", &t.TCPReqQFullDrop),
		of("TCPRcvQDrop", &t.TCPRcvQDrop), of("TCPOFOQueue", &t.TCPOFOQueue), of("TCPChallengeACK", &t.TCPChallengeACK),
		of("TCPSYNChallenge", &t.TCPSYNChallenge), of("TCPFastOpenActive", &t.TCPFastOpenActive), of("TCPFastOpenPassive", &t.TCPFastOpenPassive),
		of("TCPKeepAlive", &t.TCPKeepAlive), of("TCPZeroWindowDrop", &t.TCPZeroWindowDrop),
	})
	table(&b, "IpExt", []count{of("InNoRoutes", &i.InNoRoutes), of("InTruncatedPkts", &i.InTruncatedPkts), of("InMcastPkts", &i.InMcastPkts),
		of("OutMcastPkts", &i.OutMcastPkts), of("InBcastPkts", &i.InBcastPkts), of("InCsumErrors", &i.InCsumErrors)})
	return b.String()
}
