package net

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
)

// TestXDP has AF_XDP sockets for the queues of a device, of which there are several: a program
// of XDP is there as long as the container is.
func TestXDP(t *testing.T) {
	if err := features.HaveMapType(ebpf.XSKMap); err != nil {
		t.Skip("the host refuses maps of AF_XDP sockets: ", err)
	}
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		lines(t, strings.NewReplacer("PEER", p.peer, "BOX", p.box).Replace(`
ip -n PEER link del veth0
ip -n PEER link add veth0 numtxqueues 2 numrxqueues 2 type veth peer name eth0 numtxqueues 2 numrxqueues 2 netns BOX
ip -n PEER addr add 10.9.0.1/24 dev veth0
ip -n PEER addr add fd09::1/64 dev veth0 nodad
ip -n PEER link set veth0 up
ip -n BOX addr add 10.9.0.2/24 dev eth0
ip -n BOX addr add fd09::2/64 dev eth0 nodad
ip -n BOX link set eth0 up
`))
		dir := p.serveTransfers(t)
		program := func() bool { return strings.Contains(run(t, "ip", "-n", p.box, "link", "show", "eth0"), "prog/xdp") }
		c := p.start(t, platform, transfers(dir)+"read end || true", "--xdp")
		waitFor(t, program)
		if got := c.end(t); got != "same\n" {
			t.Error(got)
		}
		if strings.Contains(c.err.String(), "without XDP") {
			t.Error(c.err.String())
		}
		waitFor(t, func() bool { return !program() })
	})
}

// TestNoXDP has a device whose frames are too large: the container goes without.
func TestNoXDP(t *testing.T) {
	p := newPair(t)
	lines(t, strings.NewReplacer("PEER", p.peer, "BOX", p.box).Replace(`
ip -n PEER link set veth0 mtu 9000
ip -n BOX link set eth0 mtu 9000
`))
	dir := p.serveTransfers(t)
	c := p.start(t, "systrap", transfers(dir), "--xdp")
	if got := c.end(t); got != "same\n" {
		t.Error(got)
	}
	if want := "the network device eth0 goes by packet sockets, without XDP: frames of the MTU 9000 are too large"; !strings.Contains(c.err.String(), want) {
		t.Errorf("%q is not in %s", want, c.err.String())
	}
}
