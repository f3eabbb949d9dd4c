package netlink

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/netstack/sock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// FuzzSend sends arbitrary messages to the kernel's side and takes the answers.
func FuzzSend(f *testing.F) {
	for typ := uint16(unix.RTM_NEWLINK); typ <= unix.RTM_GETNEXTHOP; typ++ {
		if typ > unix.RTM_GETRULE && typ < unix.RTM_NEWNEXTHOP {
			continue
		}
		for _, flags := range []uint16{unix.NLM_F_DUMP, unix.NLM_F_ACK, unix.NLM_F_CREATE | unix.NLM_F_EXCL | unix.NLM_F_ACK} {
			var r nlmsg.Builder
			r.Begin(typ, unix.NLM_F_REQUEST|flags, 7, 0, make([]byte, 16)...)
			r.Attr(1, []byte{127, 0, 0, 2})
			r.Attr(2, []byte{10, 0, 0, 1})
			r.AttrString(3, "lo")
			r.Attr32(4, 1)
			r.End()
			f.Add(r.B)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { answered(t, unix.NETLINK_ROUTE, data) })
}

// FuzzGeneric does so with families of NETLINK_GENERIC.
func FuzzGeneric(f *testing.F) {
	for _, family := range families() {
		for _, o := range family.operations {
			for _, flags := range []uint16{unix.NLM_F_DUMP, unix.NLM_F_ACK} {
				var r nlmsg.Builder
				r.Begin(family.id, unix.NLM_F_REQUEST|flags, 7, 0, o.command, family.version, 0, 0)
				if family == &controller {
					r.AttrString(unix.CTRL_ATTR_FAMILY_NAME, "nlctrl")
				} else {
					r.Nest(1, func() { r.AttrString(unix.ETHTOOL_A_HEADER_DEV_NAME, "lo") })
				}
				r.Nest(unix.ETHTOOL_A_STRSET_STRINGSETS, func() {
					r.Nest(unix.ETHTOOL_A_STRINGSETS_STRINGSET, func() { r.Attr32(unix.ETHTOOL_A_STRINGSET_ID, setFeatures) })
				})
				r.End()
				f.Add(r.B)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { answered(t, unix.NETLINK_GENERIC, data) })
}

// answered sends data to a protocol and takes the answers.
func answered(t *testing.T, protocol int, data []byte) {
	stack, ctx, s := sent(t, protocol, data)
	defer stack.Close()
	for range 1 << 12 {
		dst := usermem.Kernel(make([]byte, 4096))
		if _, err := s.Receive(ctx, &dst, &socket.Message{}, unix.MSG_DONTWAIT); err != nil {
			return
		}
	}
	t.Fatal("the answers do not end")
}

// FuzzDiag asks about sockets of all kinds that there are, by arbitrary messages.
func FuzzDiag(f *testing.F) {
	for _, family := range []byte{unix.AF_INET, unix.AF_INET6, unix.AF_UNIX} {
		for _, protocol := range []byte{unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_RAW} {
			for _, flags := range []uint16{unix.NLM_F_DUMP, unix.NLM_F_ACK} {
				body := make([]byte, inetRequestLen)
				copy(body, []byte{family, protocol, 0xff, 0, 0xff, 0xff, 0xff, 0xff})
				var r nlmsg.Builder
				r.Begin(sockDiagByFamily, unix.NLM_F_REQUEST|flags, 7, 0, body...)
				r.Attr(requestBytecode, append([]byte{filterSportG, 8, 28, 0, 0, 0, 80, 0},
					filterSource, 16, 20, 0, unix.AF_INET, 8, 0, 0, 0xff, 0xff, 0xff, 0xff, 127, 0, 0, 0))
				r.End()
				f.Add(r.B)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t)
		var files []socket.Socket
		inetSocket := func(family, typ, protocol int) *inet.Socket {
			s, err := inet.New(w.ctx, w.ports.inet, family, typ, protocol)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, s)
			return s
		}
		loopback := []byte{unix.AF_INET, 0, 0, 80, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		listener := inetSocket(unix.AF_INET, unix.SOCK_STREAM, 0)
		listener.Bind(w.ctx, loopback)
		listener.Listen(w.ctx, 1)
		inetSocket(unix.AF_INET, unix.SOCK_STREAM, 0).Connect(w.ctx, loopback)
		inetSocket(unix.AF_INET, unix.SOCK_DGRAM, 0).Bind(w.ctx, loopback)
		inetSocket(unix.AF_INET6, unix.SOCK_DGRAM, 0).Bind(w.ctx, append([]byte{unix.AF_INET6, 0, 0, 81}, make([]byte, 24)...))
		inetSocket(unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6)
		a, b, err := unixsocket.Pair(w.ctx, w.ports.names, unix.SOCK_STREAM)
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(w.ports, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, a, b, s)
		w.send(s, data)
		w.receive(s)
		for _, f := range files {
			f.Release(nil)
		}
	})
}

// FuzzBatch sends arbitrary batches and questions about nftables, and has a packet go through
// what has come of it.
func FuzzBatch(f *testing.F) {
	message := func(b *nlmsg.Builder, typ, flags uint16, fill func()) {
		b.Begin(typ, unix.NLM_F_REQUEST|flags, 1, 0, unix.NFPROTO_INET, 0, 0, unix.NFNL_SUBSYS_NFTABLES)
		fill()
		b.End()
	}
	var b nlmsg.Builder
	message(&b, unix.NFNL_MSG_BATCH_BEGIN, 0, func() {})
	nft := func(typ, flags uint16, fill func()) { message(&b, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, fill) }
	nft(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func() { b.AttrString(unix.NFTA_TABLE_NAME, "t") })
	nft(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func() {
		b.AttrString(unix.NFTA_CHAIN_TABLE, "t")
		b.AttrString(unix.NFTA_CHAIN_NAME, "c")
		b.Nest(unix.NFTA_CHAIN_HOOK, func() {
			b.AttrBE32(unix.NFTA_HOOK_HOOKNUM, unix.NF_INET_LOCAL_OUT)
			b.AttrBE32(unix.NFTA_HOOK_PRIORITY, 0)
		})
	})
	nft(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func() {
		b.AttrString(unix.NFTA_SET_TABLE, "t")
		b.AttrString(unix.NFTA_SET_NAME, "s")
		b.AttrBE32(unix.NFTA_SET_KEY_LEN, 4)
		b.AttrBE32(unix.NFTA_SET_ID, 1)
	})
	for _, name := range []string{"counter", "meta", "payload", "cmp", "lookup", "ct", "limit", "log", "reject", "fib", "immediate"} {
		nft(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, func() {
			b.AttrString(unix.NFTA_RULE_TABLE, "t")
			b.AttrString(unix.NFTA_RULE_CHAIN, "c")
			b.Nest(unix.NFTA_RULE_EXPRESSIONS, func() {
				b.Nest(unix.NFTA_LIST_ELEM, func() {
					b.AttrString(unix.NFTA_EXPR_NAME, name)
					b.Nest(unix.NFTA_EXPR_DATA, func() {
						for attr := range uint16(6) {
							b.AttrBE32(attr+1, 1)
						}
					})
				})
			})
		})
	}
	message(&b, unix.NFNL_MSG_BATCH_END, 0, func() {})
	f.Add(b.B)
	f.Fuzz(func(t *testing.T, data []byte) {
		stack, _, _ := sent(t, unix.NETLINK_NETFILTER, data)
		defer stack.Close()
		e := stack.UDP.NewEndpoint(unix.AF_INET)
		defer e.Close()
		e.Send(bytes.NewReader([]byte("x")), 1, &sock.Msg{Addr: sock.Addr{Addr: netip.AddrFrom4([4]byte{127, 0, 0, 1}), Port: 9}})
	})
}

// sent sends data on a new socket of a protocol, to a stack with loopback only, as root.
func sent(t *testing.T, protocol int, data []byte) (*netstack.Stack, *vfs.Context, *Socket) {
	stack := netstack.New(ip.Options{})
	if err := stack.UpLoopback(); err != nil {
		t.Fatal(err)
	}
	user := cred.NewRootUserNamespace()
	ns := &kernel.NetNamespace{UserNS: user}
	ctx := &vfs.Context{Cred: cred.NewRoot(user)}
	s, err := New(NewPorts(inet.NewSockets(ns, stack), unixsocket.NewNames(ns, stack), nil), unix.SOCK_RAW, protocol)
	if err != nil {
		t.Fatal(err)
	}
	src := usermem.Kernel(data)
	s.Send(ctx, &src, &socket.Message{}, 0)
	return stack, ctx, s
}
