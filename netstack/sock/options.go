package sock

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"casemate/netstack/bpf"
	"casemate/netstack/sysctl"
	"golang.org/x/sys/unix"
)

// Limits are the parameters net.core.* that bound buffers.
type Limits struct {
	RmemDefault, RmemMax, WmemDefault, WmemMax, Somaxconn, OptmemMax *sysctl.Int
}

// NewLimits registers the parameters with Linux's defaults.
func NewLimits(t *sysctl.Table) *Limits {
	const big = 1<<31 - 1
	return &Limits{
		RmemDefault: t.New("net.core.rmem_default", minRcvBuf, big, 212992),
		RmemMax:     t.New("net.core.rmem_max", minRcvBuf, big, 212992),
		WmemDefault: t.New("net.core.wmem_default", minSndBuf, big, 212992),
		WmemMax:     t.New("net.core.wmem_max", minSndBuf, big, 212992),
		Somaxconn:   t.New("net.core.somaxconn", 0, big, 4096),
		OptmemMax:   t.New("net.core.optmem_max", 0, big, 131072),
	}
}

// Least sizes of buffers as Linux has them (SOCK_MIN_RCVBUF, SOCK_MIN_SNDBUF).
const (
	minRcvBuf = 2304
	minSndBuf = 4608
)

// Options are the options of a socket that need nothing done when they change:
// each field is read by the protocol when it matters. Options with rules of
// their own have methods. The zero value has Linux's defaults where those are
// zero; call Init.
type Options struct {
	ReuseAddr     atomic.Bool   // SO_REUSEADDR
	ReusePort     atomic.Bool   // SO_REUSEPORT
	Broadcast     atomic.Bool   // SO_BROADCAST
	OOBInline     atomic.Bool   // SO_OOBINLINE
	DontRoute     atomic.Bool   // SO_DONTROUTE
	Debug         atomic.Bool   // SO_DEBUG
	NoCheck       atomic.Bool   // SO_NO_CHECK
	Timestamp     atomic.Bool   // any of SO_TIMESTAMP*
	Stamping      atomic.Uint32 // flags of SO_TIMESTAMPING, for what is sent
	RxqOvfl       atomic.Bool   // SO_RXQ_OVFL
	ZeroCopy      atomic.Bool   // SO_ZEROCOPY
	RcvLowat      atomic.Int32
	Priority      atomic.Int32
	Mark          atomic.Uint32 // SO_MARK
	BoundDev      atomic.Int32  // SO_BINDTOIFINDEX; set with the protocol's BindToDevice
	IncomingCPU   atomic.Int32
	BusyPoll      atomic.Int32
	MaxPacingRate atomic.Uint64

	V6Only         atomic.Bool  // IPV6_V6ONLY
	TTL            atomic.Int32 // IP_TTL; -1: the stack's default
	HopLimit       atomic.Int32 // IPV6_UNICAST_HOPS; -1: the route's default
	TOS            atomic.Uint32
	TClass         atomic.Uint32
	MTUDiscover    atomic.Int32 // IP_MTU_DISCOVER
	MTUDiscover6   atomic.Int32 // IPV6_MTU_DISCOVER
	FreeBind       atomic.Bool  // IP_FREEBIND
	Transparent    atomic.Bool  // IP_TRANSPARENT
	BindNoPort     atomic.Bool  // IP_BIND_ADDRESS_NO_PORT
	RecvErr        atomic.Bool  // IP_RECVERR
	RecvErr6       atomic.Bool  // IPV6_RECVERR
	RecvTTL        atomic.Bool  // IP_RECVTTL
	RecvTOS        atomic.Bool  // IP_RECVTOS
	PktInfo        atomic.Bool  // IP_PKTINFO
	RecvOrigDst    atomic.Bool  // IP_RECVORIGDSTADDR
	RecvHopLimit   atomic.Bool  // IPV6_RECVHOPLIMIT
	RecvTClass     atomic.Bool  // IPV6_RECVTCLASS
	RecvPktInfo6   atomic.Bool  // IPV6_RECVPKTINFO
	MulticastTTL   atomic.Int32 // IP_MULTICAST_TTL
	MulticastHops  atomic.Int32 // IPV6_MULTICAST_HOPS; -1: 1
	MulticastLoop  atomic.Bool  // IP_MULTICAST_LOOP
	MulticastLoop6 atomic.Bool  // IPV6_MULTICAST_LOOP
	MulticastAll   atomic.Bool  // IP_MULTICAST_ALL
	MulticastIf6   atomic.Int32 // IPV6_MULTICAST_IF
	DontFrag6      atomic.Bool  // IPV6_DONTFRAG
	PktInfoDev6    atomic.Int32 // IPV6_PKTINFO: the interface by which datagrams leave, unless they name another
	UID            atomic.Uint32
	GID            atomic.Uint32
	Inode          atomic.Uint64 // of the socket's file, for listings

	MulticastAll6 atomic.Bool  // IPV6_MULTICAST_ALL
	MinTTL        atomic.Int32 // IP_MINTTL
	MinHopCount   atomic.Int32 // IPV6_MINHOPCOUNT

	filter       atomic.Pointer[bpf.Program]
	filterLocked atomic.Bool

	limits *Limits
	rcvBuf atomic.Int64
	sndBuf atomic.Int64
	locks  atomic.Uint32

	mu          sync.Mutex
	linger      bool
	lingerTime  time.Duration
	multicastIf MulticastIf
}

// MulticastIf is IP_MULTICAST_IF: by address or by interface index.
type MulticastIf struct {
	Addr  netip.Addr
	Index int32
}

// Bits of SO_BUF_LOCK.
const (
	SndBufLocked = 1 // SOCK_SNDBUF_LOCK
	RcvBufLocked = 2 // SOCK_RCVBUF_LOCK
)

// Init sets Linux's defaults and the buffer sizes in bytes.
func (o *Options) Init(l *Limits, rcvBuf, sndBuf int) {
	o.limits = l
	o.rcvBuf.Store(int64(rcvBuf))
	o.sndBuf.Store(int64(sndBuf))
	o.RcvLowat.Store(1)
	o.IncomingCPU.Store(-1)
	o.MaxPacingRate.Store(^uint64(0))
	o.TTL.Store(-1)
	o.HopLimit.Store(-1)
	o.MTUDiscover.Store(unix.IP_PMTUDISC_WANT)
	o.MTUDiscover6.Store(unix.IPV6_PMTUDISC_WANT)
	o.MulticastTTL.Store(1)
	o.MulticastHops.Store(1)
	o.MulticastLoop.Store(true)
	o.MulticastLoop6.Store(true)
	o.MulticastAll.Store(true)
	o.MulticastAll6.Store(true)
}

// Inherit copies from a listener to the socket that it accepts.
func (o *Options) Inherit(l *Options) {
	for _, p := range [][2]*atomic.Bool{
		{&o.ReuseAddr, &l.ReuseAddr}, {&o.ReusePort, &l.ReusePort}, {&o.OOBInline, &l.OOBInline},
		{&o.DontRoute, &l.DontRoute}, {&o.Debug, &l.Debug}, {&o.Timestamp, &l.Timestamp},
		{&o.V6Only, &l.V6Only}, {&o.FreeBind, &l.FreeBind}, {&o.Transparent, &l.Transparent},
		{&o.RecvErr, &l.RecvErr}, {&o.RecvErr6, &l.RecvErr6}, {&o.ZeroCopy, &l.ZeroCopy},
	} {
		p[0].Store(p[1].Load())
	}
	for _, p := range [][2]*atomic.Int32{
		{&o.RcvLowat, &l.RcvLowat}, {&o.Priority, &l.Priority}, {&o.BoundDev, &l.BoundDev},
		{&o.TTL, &l.TTL}, {&o.HopLimit, &l.HopLimit}, {&o.MTUDiscover, &l.MTUDiscover},
		{&o.MTUDiscover6, &l.MTUDiscover6},
	} {
		p[0].Store(p[1].Load())
	}
	o.MinTTL.Store(l.MinTTL.Load())
	o.MinHopCount.Store(l.MinHopCount.Load())
	o.filter.Store(l.filter.Load())
	o.filterLocked.Store(l.filterLocked.Load())
	o.Mark.Store(l.Mark.Load())
	o.TOS.Store(l.TOS.Load())
	o.TClass.Store(l.TClass.Load())
	o.UID.Store(l.UID.Load())
	o.GID.Store(l.GID.Load())
	o.MaxPacingRate.Store(l.MaxPacingRate.Load())
	o.locks.Store(l.locks.Load())
	if l.locks.Load()&RcvBufLocked != 0 {
		o.rcvBuf.Store(l.rcvBuf.Load())
	}
	if l.locks.Load()&SndBufLocked != 0 {
		o.sndBuf.Store(l.sndBuf.Load())
	}
	o.SetLinger(l.Linger())
}

// RcvBuf is SO_RCVBUF as getsockopt gives it, in bytes.
func (o *Options) RcvBuf() int { return int(o.rcvBuf.Load()) }

// SndBuf is SO_SNDBUF as getsockopt gives it, in bytes.
func (o *Options) SndBuf() int { return int(o.sndBuf.Load()) }

// SetRcvBuf is SO_RCVBUF, or SO_RCVBUFFORCE with force: n is bounded by
// rmem_max, doubled and not tuned any more (socket(7)).
func (o *Options) SetRcvBuf(n int, force bool) {
	n = clampBuf(n, o.limits.RmemMax.Get(), force)
	o.locks.Or(RcvBufLocked)
	o.rcvBuf.Store(int64(max(2*n, minRcvBuf)))
}

// SetSndBuf is SO_SNDBUF or SO_SNDBUFFORCE.
func (o *Options) SetSndBuf(n int, force bool) {
	n = clampBuf(n, o.limits.WmemMax.Get(), force)
	o.locks.Or(SndBufLocked)
	o.sndBuf.Store(int64(max(2*n, minSndBuf)))
}

func clampBuf(n, limit int, force bool) int {
	if force {
		return min(max(n, 0), 1<<30-1)
	}
	// Linux compares unsigned numbers: a negative size asks for the limit.
	if n < 0 || n > limit {
		return limit
	}
	return n
}

// TuneRcvBuf and TuneSndBuf set a size that the protocol has found; not if the
// application has set one.
func (o *Options) TuneRcvBuf(n int) {
	if o.locks.Load()&RcvBufLocked == 0 {
		o.rcvBuf.Store(int64(n))
	}
}

// TuneSndBuf: see TuneRcvBuf.
func (o *Options) TuneSndBuf(n int) {
	if o.locks.Load()&SndBufLocked == 0 {
		o.sndBuf.Store(int64(n))
	}
}

// BufLocks is SO_BUF_LOCK.
func (o *Options) BufLocks() uint32 { return o.locks.Load() }

// SetBufLocks is SO_BUF_LOCK: EINVAL for unknown bits.
func (o *Options) SetBufLocks(v uint32) error {
	if v&^(SndBufLocked|RcvBufLocked) != 0 {
		return unix.EINVAL
	}
	o.locks.Store(v)
	return nil
}

// Linger is SO_LINGER.
func (o *Options) Linger() (on bool, d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.linger, o.lingerTime
}

// SetLinger is SO_LINGER.
func (o *Options) SetLinger(on bool, d time.Duration) {
	o.mu.Lock()
	o.linger, o.lingerTime = on, d
	o.mu.Unlock()
}

// MulticastIf is IP_MULTICAST_IF.
func (o *Options) MulticastIf() MulticastIf {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.multicastIf
}

// SetMulticastIf is IP_MULTICAST_IF; the protocol checks that the interface exists.
func (o *Options) SetMulticastIf(m MulticastIf) {
	o.mu.Lock()
	o.multicastIf = m
	o.mu.Unlock()
}
