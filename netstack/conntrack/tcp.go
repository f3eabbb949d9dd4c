package conntrack

import (
	"time"

	"casemate/netstack/wire"
)

// A TCPState is where a TCP connection stands, seen from between its ends.
type TCPState uint8

// The states, in Linux's order.
const (
	TCPNone TCPState = iota
	TCPSynSent
	TCPSynRecv
	TCPEstablished
	TCPFinWait
	TCPCloseWait
	TCPLastAck
	TCPTimeWait
	TCPClose
	TCPSynSent2
)

// tcpNames are the states' names in /proc/net/nf_conntrack.
var tcpNames = [...]string{"NONE", "SYN_SENT", "SYN_RECV", "ESTABLISHED", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK", "TIME_WAIT", "CLOSE", "SYN_SENT2"}

// String is the state's name.
func (s TCPState) String() string { return tcpNames[s] }

// tcpTimeouts are how long a connection is remembered in each state without a packet
// (net.netfilter.nf_conntrack_tcp_timeout_*).
var tcpTimeouts = [...]time.Duration{
	TCPNone: 120 * time.Second, TCPSynSent: 120 * time.Second, TCPSynRecv: 60 * time.Second, TCPEstablished: 5 * 24 * time.Hour,
	TCPFinWait: 120 * time.Second, TCPCloseWait: 60 * time.Second, TCPLastAck: 30 * time.Second, TCPTimeWait: 120 * time.Second,
	TCPClose: 10 * time.Second, TCPSynSent2: 120 * time.Second,
}

// next is the state after a segment with those flags; valid is false for one that no TCP
// sends in this state.
//
//	original      reply
//	SYN      ->             SYN_SENT
//	         <-   SYN,ACK   SYN_RECV
//	ACK      ->             ESTABLISHED
//	FIN      -> or <-       FIN_WAIT
//	         <- or -> ACK   CLOSE_WAIT
//	FIN      of the other   LAST_ACK
//	ACK                     TIME_WAIT
func (s TCPState) next(flags uint8, reply bool) (n TCPState, valid bool) {
	switch {
	case flags&wire.RST != 0:
		return TCPClose, s != TCPNone
	case flags&(wire.SYN|wire.ACK) == wire.SYN|wire.ACK:
		switch {
		case reply && (s == TCPSynSent || s == TCPSynSent2):
			return TCPSynRecv, true
		case !reply && s == TCPSynSent2:
			return TCPSynRecv, true
		}
		return s, s != TCPNone
	case flags&wire.SYN != 0:
		switch {
		case !reply && (s == TCPNone || s == TCPTimeWait || s == TCPClose || s == TCPLastAck):
			return TCPSynSent, true
		case reply && s == TCPSynSent:
			return TCPSynSent2, true // both open
		}
		return s, !reply || s != TCPNone
	case flags&wire.FIN != 0:
		switch s {
		case TCPNone, TCPSynSent, TCPSynSent2:
			return s, false
		case TCPSynRecv, TCPEstablished:
			return TCPFinWait, true
		case TCPFinWait, TCPCloseWait:
			return TCPLastAck, true
		}
		return s, true
	case flags&wire.ACK != 0:
		switch s {
		case TCPNone:
			return TCPEstablished, true // one that was there before the rules
		case TCPSynSent, TCPSynSent2:
			return s, reply || s == TCPSynSent2
		case TCPSynRecv:
			if reply {
				return s, true
			}
			return TCPEstablished, true
		case TCPFinWait:
			return TCPCloseWait, true
		case TCPLastAck:
			return TCPTimeWait, true
		}
		return s, true
	}
	return s, false
}

// tcpFlagsOK reports whether a segment's flags make sense together.
func tcpFlagsOK(f uint8) bool {
	switch f &^ (wire.ECE | wire.CWR | wire.PSH) {
	case wire.SYN, wire.SYN | wire.URG, wire.SYN | wire.ACK, wire.RST, wire.RST | wire.ACK, wire.FIN | wire.ACK,
		wire.FIN | wire.ACK | wire.URG, wire.ACK, wire.ACK | wire.URG:
		return true
	}
	return false
}
