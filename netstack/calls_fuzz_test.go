package netstack

import (
	"net/netip"
	"testing"
	"time"

	"casemate/netstack/ip"
	"casemate/netstack/sock"
	"casemate/netstack/tcp"
	"casemate/netstack/udp"
	"casemate/netstack/wheel"
	"golang.org/x/sys/unix"
)

// FuzzCalls makes socket calls in any order, on sockets of all kinds that talk to each
// other over lo and to a wire from which frames come, while addresses, links and
// parameters change. Nothing panics, and in the end nothing is left.
func FuzzCalls(f *testing.F) {
	f.Add([]byte{0, 0, 1, 0, 80, 2, 0, 0, 0, 3, 1, 80, 4, 0, 5, 1, 100, 6, 0, 7, 1})
	f.Add([]byte{0, 1, 0, 1, 1, 0, 53, 3, 1, 53, 5, 1, 9, 6, 0, 12, 1, 9, 3, 10, 20})
	f.Add([]byte{0, 2, 0, 3, 11, 40, 13, 5, 0, 0, 8, 1, 1, 8, 1, 0})
	f.Fuzz(func(t *testing.T, in []byte) {
		w := wheel.NewManual()
		s := New(ip.Options{Wheel: w})
		end := &wireEnd{t: t}
		i, err := s.AddInterface("eth0", end)
		if err != nil {
			t.Fatal(err)
		}
		s.UpLoopback()
		s.SetUp(i, true)
		s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix("10.0.0.1/24")})
		s.Autoconfigure(i)
		s.TCP.Params.FastOpen.Set(3)
		next := func() int {
			if len(in) == 0 {
				return 0
			}
			b := in[0]
			in = in[1:]
			return int(b)
		}
		var all []sock.Endpoint
		pick := func() sock.Endpoint { return all[next()%len(all)] }
		addrs := []string{"127.0.0.1", "10.0.0.1", "10.0.0.2", "0.0.0.0", "224.1.2.3", "255.255.255.255", "::1", "fd00::1", "::", "ff02::5", "::ffff:127.0.0.1"}
		addr := func() sock.Addr {
			return sock.Addr{Addr: netip.MustParseAddr(addrs[next()%len(addrs)]), Port: uint16(1 + next()%4), Scope: 2}
		}
		data := make([]byte, 70000)
		for steps := 0; len(in) > 0 && steps < 500; steps++ {
			op := next() % 16
			if len(all) == 0 && op != 0 {
				op = 0
			}
			switch op {
			case 0:
				if len(all) > 20 {
					break
				}
				k := next()
				family := []int{unix.AF_INET, unix.AF_INET6}[k>>4&1]
				e, err := s.Socket(family, []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_DGRAM}[k&3],
					[]int{0, 0, unix.IPPROTO_ICMP, unix.IPPROTO_ICMP}[k&3])
				if err == nil {
					all = append(all, e)
				}
			case 1:
				pick().Bind(addr())
			case 2:
				pick().Listen(next() % 4)
			case 3:
				e, a := pick(), addr()
				if next()%8 == 0 {
					a = sock.Addr{}
				}
				e.Connect(a)
			case 4:
				if c, _, err := pick().Accept(); err == nil {
					all = append(all, c)
				}
			case 5:
				e, n := pick(), next()*next()
				m := sock.Msg{Flags: []int{0, 0, unix.MSG_MORE, unix.MSG_OOB, unix.MSG_FASTOPEN}[next()%5]}
				if next()%3 == 0 || m.Flags == unix.MSG_FASTOPEN {
					m.Addr = addr()
				}
				e.Send(&sock.Iovec{V: [][]byte{data[:n]}}, n, &m)
			case 6:
				e, n := pick(), next()*next()
				m := sock.Msg{Flags: []int{0, unix.MSG_PEEK, unix.MSG_OOB, unix.MSG_TRUNC, unix.MSG_ERRQUEUE}[next()%5]}
				e.Recv(&sock.Iovec{V: [][]byte{data[:n]}}, n, &m)
			case 7:
				pick().Shutdown(next() % 3)
			case 8:
				k := next() % len(all)
				all[k].Close()
				all = append(all[:k], all[k+1:]...)
			case 9:
				w.Advance(time.Duration(next()*next()) * time.Millisecond)
			case 10:
				o := pick().Options()
				switch v := next(); next() % 8 {
				case 0:
					o.SetRcvBuf(v*v, false)
				case 1:
					o.SetSndBuf(v*v, false)
				case 2:
					o.ReuseAddr.Store(v&1 != 0)
				case 3:
					o.ReusePort.Store(v&1 != 0)
				case 4:
					o.SetLinger(v&1 != 0, 0)
				case 5:
					o.RecvErr.Store(v&1 != 0)
				case 6:
					o.OOBInline.Store(v&1 != 0)
				case 7:
					o.MTUDiscover.Store(int32(v % 6))
				}
			case 11:
				if len(in) > 0 {
					n := min(next(), len(in))
					b := append([]byte(nil), in[:n]...)
					in = in[n:]
					fixSums(b)
					end.frame(b, next())
				}
			case 12:
				switch e := pick().(type) {
				case *udp.Endpoint:
					a := addr().Addr
					if next()%2 == 0 {
						e.JoinGroup(a, 0, netip.Addr{})
					} else {
						e.LeaveGroup(a, 0, netip.Addr{})
					}
					e.SetSegment(next() * 8)
					e.SetCork(next()&1 != 0)
				case *tcp.Endpoint:
					switch next() % 6 {
					case 0:
						e.SetNoDelay(next()&1 != 0)
					case 1:
						e.SetCork(next()&1 != 0)
					case 2:
						e.SetKeepIdle(next())
						e.SetKeepAlive(next()&1 != 0)
					case 3:
						e.SetUserTimeout(next())
					case 4:
						e.SetFastOpen(next())
						e.SetFastOpenConnect(next() & 1)
					case 5:
						e.SetMaxSeg(next() * 4)
						e.SetDeferAccept(next())
					}
				}
			case 13:
				s.SetUp(i, next()&1 != 0)
			case 14:
				p := netip.PrefixFrom(netip.MustParseAddr(addrs[next()%len(addrs)]), 24)
				if next()&1 != 0 {
					s.AddAddress(i, ip.Address{Prefix: p, Flags: unix.IFA_F_TENTATIVE, Valid: uint32(next()), Preferred: uint32(next())})
				} else {
					s.RemoveAddress(i, p)
				}
			case 15:
				names := s.Sysctl.Names()
				if p := s.Sysctl.Lookup(names[(next()*256+next())%len(names)]); p != nil { // nil: not of numbers
					p.Set(int64(next() - 1))
				}
			}
			for _, e := range all {
				e.Readiness()
			}
		}
		s.TCP.Sockets()
		s.UDP.Sockets()
		for _, e := range all {
			e.Close()
		}
		s.SetUp(i, false)
		w.Advance(200 * time.Hour)
		s.Close()
		if n := w.Len(); n != 0 {
			t.Errorf("%d timers are left", n)
		}
	})
}
