package resolver

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/sock"
	"casemate/netstack/wire"
)

// TunnelMTU is the MTU of the TUN device, in bytes.
const TunnelMTU = 1500

// Bounds of what dockerd may have under way.
const (
	maxFlows = 256
	idle     = 30 * time.Second // a flow that nothing comes by ends
)

// An upstream passes dockerd's questions to servers outside, and their answers back. It
// translates addresses: outside, a flow has the container's address and a port of its own.
type upstream struct {
	stack *netstack.Stack
	fd    int

	mu    sync.Mutex
	flows map[flow]*endpoint
}

// A flow is from a socket of dockerd to a server.
type flow struct{ from, to netip.AddrPort }

// ServeUpstream passes UDP packets to port 53 that come from fd, a TUN device of the host
// without any header that it takes over, in blocking mode, to the stack, and the answers
// back. It returns at once.
func ServeUpstream(stack *netstack.Stack, fd int) error {
	u := &upstream{stack: stack, fd: fd, flows: map[flow]*endpoint{}}
	go u.run()
	return nil
}

func (u *upstream) run() {
	buf := make([]byte, TunnelMTU)
	for {
		n, err := unix.Read(u.fd, buf)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		f, data, ok := parse(buf[:n])
		if !ok {
			continue
		}
		ep, err := u.endpoint(f)
		if err != nil {
			continue // the packet is lost
		}
		ep.send(data, sock.Addr{})
	}
}

// parse takes an IPv4 packet apart: a whole UDP datagram for port 53.
func parse(p []byte) (f flow, data []byte, ok bool) {
	if len(p) < wire.IPv4MinLen || p[0]>>4 != 4 {
		return f, nil, false
	}
	h := wire.IPv4(p)
	hl, total := h.HeaderLen(), h.TotalLen()
	if hl < wire.IPv4MinLen || total > len(p) || total < hl+wire.UDPLen || h.Proto() != unix.IPPROTO_UDP || h.Frag()&^wire.IPv4DF != 0 {
		return f, nil, false
	}
	d := wire.UDP(p[hl:total])
	if d.DstPort() != port || d.Length() < wire.UDPLen || d.Length() > len(d) {
		return f, nil, false
	}
	return flow{netip.AddrPortFrom(h.Src(), d.SrcPort()), netip.AddrPortFrom(h.Dst(), d.DstPort())}, d[wire.UDPLen:d.Length()], true
}

// endpoint returns the endpoint of a flow, which it makes if there is none. It is connected to
// the server, as dockerd's own socket is, so that it gets packets of nobody else.
func (u *upstream) endpoint(f flow) (*endpoint, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if ep := u.flows[f]; ep != nil {
		return ep, nil
	}
	if len(u.flows) >= maxFlows {
		return nil, unix.ENOBUFS
	}
	ep, err := newEndpoint(u.stack, netip.AddrPortFrom(netip.IPv4Unspecified(), 0))
	if err != nil {
		return nil, err
	}
	if err := ep.Connect(sock.Addr{Addr: f.to.Addr(), Port: f.to.Port()}); err != nil {
		ep.Close()
		return nil, err
	}
	u.flows[f] = ep
	go u.answers(f, ep)
	return ep, nil
}

// answers passes answers back until nothing comes for a while.
func (u *upstream) answers(f flow, ep *endpoint) {
	end := time.AfterFunc(idle, func() {
		u.mu.Lock()
		delete(u.flows, f)
		u.mu.Unlock()
		ep.Close()
		close(ep.closed)
	})
	buf := make([]byte, TunnelMTU)
	for {
		n, _, err := ep.receive(buf[wire.IPv4MinLen+wire.UDPLen:])
		if err != nil {
			return
		}
		end.Reset(idle)
		unix.Write(u.fd, answer(buf, n, f))
	}
}

// answer puts headers in front of n bytes of data in buf.
func answer(buf []byte, n int, f flow) []byte {
	d := wire.UDP(buf[wire.IPv4MinLen:])
	d.Put(f.to.Port(), f.from.Port(), wire.UDPLen+n, 0) // no checksum (RFC 768): it goes to the host's stack alone
	h := wire.IPv4(buf[:wire.IPv4MinLen])
	h.Put(&wire.IPv4Fields{Src: f.to.Addr(), Dst: f.from.Addr(), TotalLen: wire.IPv4MinLen + wire.UDPLen + n,
		Frag: wire.IPv4DF, TTL: 64, Proto: unix.IPPROTO_UDP})
	return buf[:wire.IPv4MinLen+wire.UDPLen+n]
}
