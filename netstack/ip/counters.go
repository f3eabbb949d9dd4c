package ip

import "sync/atomic"

// Counter counts events.
type Counter struct{ atomic.Uint64 }

// Inc counts one.
func (c *Counter) Inc() { c.Add(1) }

// Counters are a stack's counters, with the names of RFC 4293, 4022, 4113 and
// of Linux's /proc/net/snmp and /proc/net/netstat.
type Counters struct {
	IP   IPCounters // IPv4
	IP6  IPCounters
	ICMP ICMPCounters
	// ICMP6 counts ICMPv6.
	ICMP6 ICMPCounters
	TCP   TCPCounters
	UDP   UDPCounters
	UDP6  UDPCounters
}

// IPCounters count packets of IPv4 or IPv6.
type IPCounters struct {
	InReceives, InHdrErrors, InAddrErrors, InNoRoutes, ForwDatagrams, InUnknownProtos, InDiscards, InDelivers,
	InTruncatedPkts, InCsumErrors, OutRequests, OutDiscards, OutNoRoutes, ReasmTimeout, ReasmReqds, ReasmOKs, ReasmFails,
	FragOKs, FragFails, FragCreates, InMcastPkts, InBcastPkts, OutMcastPkts Counter
}

// ICMPCounters count ICMP or ICMPv6 messages, in all and by type.
type ICMPCounters struct {
	InMsgs, InErrors, InCsumErrors, OutMsgs, OutErrors, OutRateLimited Counter
	InType, OutType                                                    [256]Counter
}

// TCPCounters count segments and connections.
type TCPCounters struct {
	ActiveOpens, PassiveOpens, AttemptFails, EstabResets, CurrEstab, InSegs, OutSegs, RetransSegs, InErrs, OutRsts, InCsumErrors Counter

	SyncookiesSent, SyncookiesRecv, SyncookiesFailed, ListenOverflows, ListenDrops, TW, TWRecycled, PAWSActive, PAWSEstab, DelayedACKs,
	TCPTimeouts, TCPLossProbes, TCPLossProbeRecovery, TCPFastRetrans, TCPSlowStartRetrans, TCPSackRecovery, TCPSACKReneging,
	TCPChallengeACK, TCPSYNChallenge, TCPOFOQueue, TCPRcvCollapsed, TCPRcvQDrop, TCPBacklogDrop, TCPAbortOnData, TCPAbortOnClose,
	TCPAbortOnTimeout, TCPAbortOnMemory, TCPAbortOnLinger, TCPKeepAlive, TCPDSACKOldSent, TCPDSACKOfoSent, TCPDSACKRecv, TCPSpuriousRTOs,
	TCPZeroWindowDrop, TCPFastOpenActive, TCPFastOpenPassive, TCPReqQFullDoCookies, TCPReqQFullDrop, TCPTimeWaitOverflow Counter
}

// UDPCounters count datagrams.
type UDPCounters struct {
	InDatagrams, NoPorts, InErrors, OutDatagrams, RcvbufErrors, SndbufErrors, InCsumErrors, MemErrors Counter
}

// Dec counts one back, for counters that are levels (CurrEstab).
func (c *Counter) Dec() { c.Add(^uint64(0)) }
