package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"casemate/netstack/wire"
	"golang.org/x/sys/unix"
)

// linux is Linux's stack behind a TUN device.
type linux struct {
	t        *testing.T
	v6       bool
	tun      int
	listener int
	udp      int
	fd       int
	seq      uint16
	out      [][]byte
}

// settings make Linux's answers depend on the script alone: nothing that is limited in
// rate, put off for the sake of a network card, remembered of other connections, or done a
// few milliseconds later (RACK and tail loss probes).
const settings = `
net.ipv4.tcp_congestion_control=reno
net.ipv4.tcp_comp_sack_nr=0
net.ipv4.tcp_rmem=4096 131072 6291456
net.ipv4.tcp_autocorking=0
net.ipv4.tcp_recovery=0
net.ipv4.tcp_early_retrans=0
net.ipv4.tcp_no_metrics_save=1
net.ipv4.tcp_invalid_ratelimit=0
net.ipv4.tcp_syn_linear_timeouts=0
net.ipv4.icmp_ratelimit=0
net.ipv4.icmp_msgs_per_sec=1000000
net.ipv4.icmp_msgs_burst=1000000
net.ipv4.ip_forward=0
net.ipv6.icmp.ratelimit=0
net.ipv6.conf.default.accept_ra=0
net.ipv6.conf.default.router_solicitations=0
`

// newLinux makes a network namespace of the calling goroutine's own, whose thread ends
// with it.
func newLinux(t *testing.T, v6 bool, before string) *linux {
	runtime.LockOSThread() // never unlocked
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("cannot make a network namespace:", err)
	}
	h := &linux{t: t, v6: v6, fd: -1}
	h.set(settings)
	var err error
	if h.tun, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		t.Skip("no TUN device:", err)
	}
	t.Cleanup(func() { unix.Close(h.tun) })
	r, _ := unix.NewIfreq("c0")
	r.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(h.tun, unix.TUNSETIFF, r); err != nil {
		t.Skip("cannot make a TUN device:", err)
	}
	ip := exec.Command("ip", "-batch", "-")
	ip.Stdin = strings.NewReader("link set lo up\nlink set c0 up gso_max_segs 1\naddr add 10.0.0.1/24 dev c0\naddr add fd00::1/64 dev c0 nodad\n")
	if out, err := ip.CombinedOutput(); err != nil {
		t.Fatalf("ip: %v: %s", err, out)
	}
	h.set(before)
	h.listener = h.socket(unix.SOCK_STREAM)
	h.ok(unix.Bind(h.listener, h.name(hostPort)))
	h.ok(unix.Listen(h.listener, 5))
	h.udp = h.socket(unix.SOCK_DGRAM)
	h.ok(unix.Bind(h.udp, h.name(udpPort)))
	t.Cleanup(func() { h.close() })
	h.sync()
	h.awaitIPv6()
	h.out = nil
	return h
}

// set sets parameters, by lines NAME=VALUE.
func (h *linux) set(words string) {
	for s := range strings.Lines(words) {
		name, value, ok := strings.Cut(strings.TrimSpace(s), "=")
		if !ok {
			continue
		}
		h.ok(os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0))
	}
}

func (h *linux) close() {
	for _, fd := range []int{h.listener, h.udp, h.fd} {
		if fd >= 0 {
			unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			unix.Close(fd)
		}
	}
}

func (h *linux) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *linux) socket(typ int) int {
	family := unix.AF_INET
	if h.v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	h.ok(err)
	h.ok(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	return fd
}

// name is an address of the host's, or with port peerPort the peer's.
func (h *linux) name(port int) unix.Sockaddr {
	last := byte(1)
	if port == peerPort {
		last = 2
	}
	if h.v6 {
		return &unix.SockaddrInet6{Port: port, Addr: [16]byte{0xfd, 15: last}}
	}
	return &unix.SockaddrInet4{Port: port, Addr: [4]byte{10, 0, 0, last}}
}

func (h *linux) inject(b []byte) {
	if _, err := unix.Write(h.tun, b); err != nil {
		h.t.Fatal(err)
	}
}

// read takes a packet from the device, nil if there is none within a time.
func (h *linux) read(d time.Duration) []byte {
	fds := []unix.PollFd{{Fd: int32(h.tun), Events: unix.POLLIN}}
	if n, _ := unix.Poll(fds, int(d/time.Millisecond)); n == 0 {
		return nil
	}
	b := make([]byte, 70000)
	n, err := unix.Read(h.tun, b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// sync takes all that the host has sent so far: what comes before the answer to an echo
// request that is sent now.
func (h *linux) sync() {
	h.seq++
	m := make([]byte, wire.ICMPLen)
	wire.ICMP(m).Put(wire.ICMPEcho, 0, syncIdent<<16|uint32(h.seq))
	wire.ICMP(m).SetChecksum(^wire.Sum(m, 0))
	p := player{t: h.t}
	b := p.ip(unix.IPPROTO_ICMP, m, 64, 0)
	h.inject(b)
	deadline := time.Now().Add(20 * time.Second)
	for time.Now().Before(deadline) {
		b := h.read(time.Second)
		if b == nil {
			continue
		}
		if b[0]>>4 == 4 && b[9] == unix.IPPROTO_ICMP && len(b) >= 28 {
			if r := wire.ICMP(b[20:]); r.Type() == wire.ICMPEchoReply && r.Ident() == syncIdent {
				if binary.BigEndian.Uint16(b[26:]) == h.seq {
					return
				}
				continue
			}
		}
		h.out = append(h.out, b)
	}
	h.t.Fatal("the host does not answer an echo request")
}

// awaitIPv6 waits until the host has its IPv6 address, which it gets a moment after it was
// told.
func (h *linux) awaitIPv6() {
	p := player{t: h.t, v6: true}
	src, dst := p.addrs()
	m := make([]byte, wire.ICMPLen)
	wire.ICMP(m).Put(wire.ICMPv6Echo, 0, syncIdent<<16)
	wire.ICMP(m).SetChecksum(^wire.Sum(m, wire.PseudoSum(src, dst, unix.IPPROTO_ICMPV6, len(m))))
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); {
		h.inject(p.ip(unix.IPPROTO_ICMPV6, m, 64, 0))
		for b := h.read(50 * time.Millisecond); b != nil; b = h.read(50 * time.Millisecond) {
			if s := p.describe(b); strings.HasPrefix(s, "ICMP 129.") {
				return
			}
		}
	}
	h.t.Fatal("the host has no IPv6 address")
}

// syncIdent is the identifier of sync's echo requests.
const syncIdent = 0xc0de

func (h *linux) sent() [][]byte {
	h.sync()
	out := h.out
	h.out = nil
	return out
}

func (h *linux) await() {
	peer := player{t: h.t, v6: h.v6}
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); {
		if b := h.read(time.Second); b != nil {
			h.out = append(h.out, b)
			if peer.describe(b) != "" {
				return
			}
		}
	}
	h.t.Fatal("nothing was sent")
}

func (h *linux) pause(d time.Duration) { time.Sleep(d) }

// words is an errno as both sides say it.
func words(err error) string {
	if err == nil {
		return "ok"
	}
	if e, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(e)
	}
	return err.Error()
}

func (h *linux) call(name string, args []string) string {
	arg := func() int {
		n, err := strconv.Atoi(args[0])
		h.ok(err)
		return n
	}
	option := func(level, opt, v int) string { return words(unix.SetsockoptInt(h.fd, level, opt, v)) }
	switch name {
	case "accept":
		fd, _, err := unix.Accept4(h.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err == nil {
			h.fd = fd
		}
		return words(err)
	case "connect":
		if h.fd < 0 {
			h.fd = h.socket(unix.SOCK_STREAM)
		}
		return words(unix.Connect(h.fd, h.name(peerPort)))
	case "send":
		flags := unix.MSG_NOSIGNAL
		for _, a := range args[1:] {
			flags |= sendFlags[a]
		}
		n, err := unix.SendmsgN(h.fd, bytes.Repeat([]byte{'x'}, arg()), nil, nil, flags)
		return fmt.Sprint(max(n, 0), " ", words(err))
	case "recv":
		b, flags := make([]byte, 200000), 0
		for _, a := range args {
			flags |= recvFlags[a]
		}
		if flags&unix.MSG_OOB != 0 {
			b = b[:1]
		}
		n, _, err := unix.Recvfrom(h.fd, b, flags)
		return received(b[:max(n, 0)], err)
	case "recvudp":
		b := make([]byte, 70000)
		n, _, err := unix.Recvfrom(h.udp, b, 0)
		return received(b[:max(n, 0)], err)
	case "shutdown":
		return words(unix.Shutdown(h.fd, unix.SHUT_WR))
	case "close":
		err := unix.Close(h.fd)
		h.fd = -1
		return words(err)
	case "poll":
		fds := []unix.PollFd{{Fd: int32(h.fd), Events: polled}}
		unix.Poll(fds, 0)
		return fmt.Sprintf("%#x", fds[0].Revents)
	case "error":
		v, err := unix.GetsockoptInt(h.fd, unix.SOL_SOCKET, unix.SO_ERROR)
		h.ok(err)
		return words(errnoOrNil(v))
	case "unacked":
		v, err := unix.IoctlGetInt(h.fd, unix.SIOCOUTQ)
		return fmt.Sprint(v, " ", words(err))
	case "available":
		v, err := unix.IoctlGetInt(h.fd, unix.SIOCINQ)
		return fmt.Sprint(v, " ", words(err))
	case "state":
		i, err := unix.GetsockoptTCPInfo(h.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		h.ok(err)
		return fmt.Sprint(i.State)
	case "rto": // in seconds
		i, err := unix.GetsockoptTCPInfo(h.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		h.ok(err)
		return fmt.Sprint(i.Rto / 1e6)
	case "backoff":
		i, err := unix.GetsockoptTCPInfo(h.fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		h.ok(err)
		return fmt.Sprint(i.Backoff)
	case "mss":
		v, err := unix.GetsockoptInt(h.fd, unix.IPPROTO_TCP, unix.TCP_MAXSEG)
		h.ok(err)
		return fmt.Sprint(v)
	case "nodelay":
		return option(unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	case "cork":
		return option(unix.IPPROTO_TCP, unix.TCP_CORK, arg())
	case "quickack":
		return option(unix.IPPROTO_TCP, unix.TCP_QUICKACK, arg())
	case "oobinline":
		return option(unix.SOL_SOCKET, unix.SO_OOBINLINE, 1)
	case "usertimeout":
		return option(unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, arg())
	case "rcvbuf":
		return option(unix.SOL_SOCKET, unix.SO_RCVBUF, arg())
	case "recverr":
		if h.v6 {
			return option(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
		}
		return option(unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	case "keepalive": // idle and interval of 1 s
		option(unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1)
		option(unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1)
		option(unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 2)
		return option(unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
	case "linger0":
		return words(unix.SetsockoptLinger(h.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}))
	case "defer":
		return words(unix.SetsockoptInt(h.listener, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, arg()))
	case "fastopen":
		return words(unix.SetsockoptInt(h.listener, unix.IPPROTO_TCP, unix.TCP_FASTOPEN, arg()))
	case "close-listener":
		err := unix.Close(h.listener)
		h.listener = -1
		return words(err)
	case "rcvbuf-listener":
		return words(unix.SetsockoptInt(h.listener, unix.SOL_SOCKET, unix.SO_RCVBUF, arg()))
	case "backlog":
		return words(unix.Listen(h.listener, arg()))
	}
	h.t.Fatalf("unknown call %q", name)
	return ""
}
