// Package ip is the core of a stack: interfaces, addresses, routes,
// neighbours, and the input and output of IPv4 and IPv6 with ICMP. Transport
// protocols register with a Stack and send through it.
//
// # Locks
//
// Configuration (interfaces, addresses, routes) is changed under Stack.mu and
// read from an immutable snapshot without a lock. Input runs without any lock
// of this package. See package netstack for the order among packages.
package ip

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"casemate/netstack/backlog"
	"casemate/netstack/link/loopback"
	"casemate/netstack/pkt"
	"casemate/netstack/siphash"
	"casemate/netstack/sock"
	"casemate/netstack/sysctl"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// Transport is a protocol above IP.
type Transport interface {
	// Input takes a packet for this host and becomes its owner. The header area starts with
	// the network header, NetLen long; Src, Dst, TTL, TOS, InIf are set.
	Input(p *pkt.Packet)
	// Error tells of an ICMP error about a packet that this host sent. e is valid during the call.
	Error(e *Error)
}

// Options make a Stack. The zero value is usable.
type Options struct {
	// Wheel has the timers and the clock; nil: a new one that runs by itself, closed with the stack.
	Wheel *wheel.Wheel
	// Backlog is shared by stacks that have links to each other; nil: a new one.
	Backlog *backlog.Set
}

// Stack is the network of one network namespace.
type Stack struct {
	Wheel    *wheel.Wheel
	Backlog  *backlog.Set
	Sysctl   sysctl.Table
	Limits   *sock.Limits
	Params   Params
	Counters Counters
	// Owner is whatever the stack belongs to; it is set before the stack has a second interface.
	Owner any
	// Secret is the key of the stack's hashes.
	Secret siphash.Key

	ownWheel   bool
	proto      [256]Transport // set before the first packet
	conf       atomic.Pointer[config]
	gen        atomic.Uint32 // of conf and the PMTU exceptions; routes of another generation are stale
	ipid       atomic.Uint32
	limiter    icmpLimiter
	pmtu       pmtuCache
	reasm      reassembler
	raw        RawHandler
	groups     atomic.Pointer[map[groupKey]int]
	echo       EchoHandler
	redirect   atomic.Pointer[redirect]
	hook       atomic.Pointer[Hook]
	watcher    Watcher
	lifetimes  wheel.Timer
	all4, def4 conf4
	all6, def6 conf6

	mu struct {
		sync.Mutex
		ifaces   []*Interface
		routes   []RouteEntry
		nexthops []*Nexthop // in the order in which they came; none of them changes
		// lastNexthop is the last number that was chosen for one.
		lastNexthop uint32
		rules       [2][]Rule // of IPv4, of IPv6
		nextIndex   int32
		taps        []Tap // of all interfaces
		closed      bool
	}
}

// Params are the parameters net.ipv4.* and net.ipv6.* of the network layer.
type Params struct {
	DefaultTTL, Forward, Forward6, HopLimit *sysctl.Int
	PortRange                               *sysctl.Int
	EchoIgnoreAll, EchoIgnoreBroadcasts     *sysctl.Int
	ICMPRateLimit                           *sysctl.Int
	UnprivPort                              *sysctl.Int
	NonlocalBind                            *sysctl.Int
	BindV6Only                              *sysctl.Int
	ICMPRateLimit6, ICMPMsgs, ICMPBurst     *sysctl.Int
	MinPMTU, MTUExpires, MTUExpires6        *sysctl.Int
	FragTime, FragTime6                     *sysctl.Int
	FragMemory, FragMemory6                 *sysctl.Int
	MaxMemberships, MaxSources              *sysctl.Int
	PingGroupRange                          *sysctl.Int
}

// New makes a stack with a loopback interface, lo, that is down and has no
// addresses, as in a new network namespace.
func New(o Options) *Stack {
	s := &Stack{Wheel: o.Wheel, Backlog: o.Backlog}
	if s.Wheel == nil {
		s.Wheel, s.ownWheel = wheel.New(), true
	}
	if s.Backlog == nil {
		s.Backlog = new(backlog.Set)
	}
	var k [16]byte
	rand.Read(k[:])
	s.Secret = siphash.Key{K0: binary.LittleEndian.Uint64(k[:]), K1: binary.LittleEndian.Uint64(k[8:])}
	t := &s.Sysctl
	s.Limits = sock.NewLimits(t)
	s.Params = Params{
		DefaultTTL:           t.New("net.ipv4.ip_default_ttl", 1, 255, 64),
		Forward:              t.Bool("net.ipv4.ip_forward", false),
		HopLimit:             t.New("net.ipv6.conf.all.hop_limit", 1, 255, 64),
		PortRange:            t.New("net.ipv4.ip_local_port_range", 1, 65535, 32768, 60999),
		EchoIgnoreAll:        t.Bool("net.ipv4.icmp_echo_ignore_all", false),
		EchoIgnoreBroadcasts: t.Bool("net.ipv4.icmp_echo_ignore_broadcasts", true),
		ICMPRateLimit:        t.New("net.ipv4.icmp_ratelimit", 0, 1<<31-1, 1000),
		ICMPRateLimit6:       t.New("net.ipv6.icmp.ratelimit", 0, 1<<31-1, 100),
		ICMPMsgs:             t.New("net.ipv4.icmp_msgs_per_sec", 0, 1<<31-1, 1000),
		ICMPBurst:            t.New("net.ipv4.icmp_msgs_burst", 0, 1<<31-1, 50),
		MinPMTU:              t.New("net.ipv4.route.min_pmtu", 68, 1<<31-1, pmtuMin4),
		MTUExpires:           t.New("net.ipv4.route.mtu_expires", 0, 1<<31-1, pmtuExpires),
		MTUExpires6:          t.New("net.ipv6.route.mtu_expires", 0, 1<<31-1, pmtuExpires),
		FragTime:             t.New("net.ipv4.ipfrag_time", 1, 1<<31-1, reasmTime4),
		FragTime6:            t.New("net.ipv6.ip6frag_time", 1, 1<<31-1, reasmTime6),
		FragMemory:           t.New("net.ipv4.ipfrag_high_thresh", 0, 1<<40, reasmMemory),
		FragMemory6:          t.New("net.ipv6.ip6frag_high_thresh", 0, 1<<40, reasmMemory),
		MaxMemberships:       t.New("net.ipv4.igmp_max_memberships", 0, 1<<31-1, 20),
		MaxSources:           t.New("net.ipv4.igmp_max_msf", 0, 1<<31-1, 10),
		UnprivPort:           t.New("net.ipv4.ip_unprivileged_port_start", 0, 65535, 1024),
		NonlocalBind:         t.Bool("net.ipv4.ip_nonlocal_bind", false),
		BindV6Only:           t.Bool("net.ipv6.bindv6only", false),
		PingGroupRange:       t.New("net.ipv4.ping_group_range", 0, 1<<32-1, 1, 0),
	}
	s.registerConf()
	s.lifetimes.Init(s.Wheel, s.expireLifetimes)
	s.pmtu.init()
	s.mu.nextIndex = 1
	s.mu.rules = [2][]Rule{defaultRules(false), defaultRules(true)}
	s.rebuild()
	if _, err := s.AddInterface("lo", loopback.New()); err != nil {
		panic("ip: cannot make lo: " + err.Error())
	}
	return s
}

// Register sets the handler of a protocol number. It is called before the
// stack's first packet.
func (s *Stack) Register(proto uint8, t Transport) { s.proto[proto] = t }

// Run delivers queued packets; see backlog.Set.Run. Whoever has sent calls it
// when it holds no lock.
func (s *Stack) Run() { s.Backlog.Run() }

// Flush is Run that waits for the packets of one flow; see backlog.Set.Flush. A
// program that sends to itself and then reads must find what it has sent.
func (s *Stack) Flush(hash uint32) { s.Backlog.Flush(hash) }

// PortRange is ip_local_port_range.
func (s *Stack) PortRange() (lo, hi int) {
	lo, hi = s.Params.PortRange.At(0), s.Params.PortRange.At(1)
	if lo > hi {
		lo, hi = hi, lo
	}
	return lo, hi
}

// Close removes all interfaces and stops the stack's timers. Endpoints have
// been closed by then.
func (s *Stack) Close() {
	s.mu.Lock()
	s.mu.closed = true
	l := s.mu.ifaces
	s.mu.ifaces, s.mu.routes = nil, nil
	s.rebuild()
	s.mu.Unlock()
	for _, i := range l {
		i.endUpper()
		i.link.Close()
		i.quiet()
	}
	s.lifetimes.Stop()
	s.Run()
	if s.ownWheel {
		s.Wheel.Close()
	}
}

// ifaceError is the errno for an interface that does not exist.
const ifaceError = unix.ENODEV
