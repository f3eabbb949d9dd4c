package conntrack

import (
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Status bits of a connection (IPS_*).
const (
	SeenReply   = 1 << 1
	Assured     = 1 << 2
	Confirmed   = 1 << 3
	SNAT        = 1 << 4
	DNAT        = 1 << 5
	SNATDone    = 1 << 7
	DNATDone    = 1 << 8
	Dying       = 1 << 9
	natMask     = SNAT | DNAT
	natDoneMask = SNATDone | DNATDone
)

// A Conn is a connection. Orig does not change; Reply does until the connection is
// confirmed, by the one who has its first packet.
type Conn struct {
	Orig, Reply Tuple
	ID          uint32
	Mark        atomic.Uint32

	status  atomic.Uint32
	expires atomic.Int64 // by the wheel's clock, ns
	since   time.Duration

	mu  sync.Mutex
	tcp TCPState
}

// Status are the status bits.
func (c *Conn) Status() uint32 { return c.status.Load() }

// TCP is the state of a TCP connection.
func (c *Conn) TCP() TCPState {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tcp
}

// An Info says how a packet belongs to its connection.
type Info uint8

// Kinds of Info. Of a packet without a connection, None is one that conntrack makes
// nothing of (state INVALID), Untracked one that rules have exempted.
const (
	None Info = iota
	Established
	Related
	New
	EstablishedReply
	RelatedReply
	Untracked
)

// Reply reports whether the packet goes in the direction of replies.
func (i Info) Reply() bool { return i == EstablishedReply || i == RelatedReply }

// Bits of State, as nftables' ct state and iptables' conntrack match have them.
const (
	StateInvalid     = 1 << 0
	StateEstablished = 1 << 1
	StateRelated     = 1 << 2
	StateNew         = 1 << 3
	StateUntracked   = 1 << 6
)

// State is the bit that stands for i.
func (i Info) State() uint32 {
	switch i {
	case Established, EstablishedReply:
		return StateEstablished
	case Related, RelatedReply:
		return StateRelated
	case New:
		return StateNew
	case Untracked:
		return StateUntracked
	}
	return StateInvalid
}

// Time-outs of protocols other than TCP.
const (
	udpTimeout       = 30 * time.Second
	udpStreamTimeout = 120 * time.Second
	udpStreamAfter   = 2 * time.Second // how long a flow goes both ways before it is a stream
	icmpTimeout      = 30 * time.Second
	genericTimeout   = 600 * time.Second
)

// packet notes a packet of the connection; false if it cannot be one of it.
func (c *Conn) packet(t *Table, info Info, tcpFlags uint8) bool {
	now := t.wheel.Now()
	var timeout time.Duration
	switch c.Orig.Proto {
	case unix.IPPROTO_TCP:
		c.mu.Lock()
		n, valid := c.tcp.next(tcpFlags, info.Reply())
		if !valid {
			c.mu.Unlock()
			return false
		}
		c.tcp = n
		c.mu.Unlock()
		timeout = t.Params.tcp[n].duration()
		seen := c.status.Load()&SeenReply != 0 || info.Reply()
		if n == TCPEstablished && seen {
			c.status.Or(Assured)
		} else if !seen {
			timeout = min(timeout, t.Params.tcp[TCPSynSent].duration())
		}
	case unix.IPPROTO_UDP, unix.IPPROTO_UDPLITE:
		timeout = t.Params.udp.duration()
		if c.status.Load()&SeenReply != 0 && now-c.since > udpStreamAfter {
			timeout = t.Params.udpStream.duration()
			c.status.Or(Assured)
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		timeout = t.Params.icmp.duration()
	default:
		timeout = t.Params.generic.duration()
	}
	c.expires.Store(int64(now + timeout))
	if info.Reply() {
		c.status.Or(SeenReply)
	}
	return true
}
