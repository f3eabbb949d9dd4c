package netconn

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link"
	"casemate/netstack/link/packet"
	"casemate/netstack/link/tun"
	"golang.org/x/sys/unix"
)

// inNetns puts the test's goroutine, for good, into a network namespace of its
// own. Other goroutines stay outside.
func inNetns(t testing.TB) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skip("cannot make a network namespace:", err)
	}
}

func ipCmd(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

// stackOn is a stack with one interface on l and the addresses 192.0.2.2 and
// 2001:db8::2; the host has .1 and ::1.
func stackOn(t testing.TB, l link.Link) *netstack.Stack {
	s := netstack.New(ip.Options{})
	t.Cleanup(s.Close)
	i, err := s.AddInterface("eth0", l)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.2/24", "2001:db8::2/64"} {
		if err := s.AddAddress(i, ip.Address{Prefix: netip.MustParsePrefix(a)}); err != nil {
			t.Fatal(err)
		}
	}
	s.SetUp(i, true)
	return s
}

func onTUN(t testing.TB) *netstack.Stack {
	l, err := tun.Open("t0", 1500)
	if err != nil {
		t.Skip("no TUN device:", err)
	}
	ipCmd(t, "addr", "add", "192.0.2.1/24", "dev", "t0")
	ipCmd(t, "addr", "add", "2001:db8::1/64", "dev", "t0", "nodad")
	ipCmd(t, "link", "set", "t0", "up")
	return stackOn(t, l)
}

func onPacket(t testing.TB) *netstack.Stack {
	ipCmd(t, "link", "add", "v0", "type", "veth", "peer", "name", "v1")
	ipCmd(t, "addr", "add", "192.0.2.1/24", "dev", "v0")
	ipCmd(t, "addr", "add", "2001:db8::1/64", "dev", "v0", "nodad")
	ipCmd(t, "link", "set", "v0", "up")
	ipCmd(t, "link", "set", "v1", "up")
	fds, info, err := packet.Open("v1", 1)
	if err != nil {
		t.Skip("no packet socket:", err)
	}
	l, err := packet.New(fds, info)
	if err != nil {
		t.Fatal(err)
	}
	return stackOn(t, l)
}

// echo sends data to a host or stack that sends it back, and checks it.
func echo(t testing.TB, c net.Conn, data []byte) {
	t.Helper()
	c.SetDeadline(time.Now().Add(30 * time.Second))
	done := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		if err == nil {
			err = c.(interface{ CloseWrite() error }).CloseWrite()
		}
		done <- err
	}()
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal("read:", err)
	}
	if err := <-done; err != nil {
		t.Fatal("write:", err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes of %d back, or others", len(got), len(data))
	}
}

func serveEcho(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.(interface{ CloseWrite() error }).CloseWrite()
			c.Close()
		}()
	}
}

// TestHost dials and serves between our stack and the host's, over each kind of
// link.
func TestHost(t *testing.T) {
	data := make([]byte, 8<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	for name, on := range map[string]func(testing.TB) *netstack.Stack{"tun": onTUN, "packet": onPacket} {
		t.Run(name, func(t *testing.T) {
			inNetns(t)
			s := on(t)
			for _, a := range []struct{ host, stack string }{{"192.0.2.1", "192.0.2.2"}, {"2001:db8::1", "2001:db8::2"}} {
				hl, err := net.Listen("tcp", net.JoinHostPort(a.host, "7"))
				if err != nil {
					t.Fatal(err)
				}
				go serveEcho(hl)
				c, err := DialTCP(context.Background(), s, netip.AddrPortFrom(netip.MustParseAddr(a.host), 7))
				if err != nil {
					t.Fatal(err)
				}
				echo(t, c, data)
				c.Close()
				hl.Close()

				sl, err := ListenTCP(s, netip.AddrPortFrom(netip.MustParseAddr(a.stack), 7))
				if err != nil {
					t.Fatal(err)
				}
				go serveEcho(sl)
				hc, err := net.DialTimeout("tcp", net.JoinHostPort(a.stack, "7"), 5*time.Second)
				if err != nil {
					t.Fatal(err)
				}
				echo(t, hc, data)
				hc.Close()
				sl.Close()
				if out, err := exec.Command("ping", "-c", "2", "-i", "0.01", "-W", "2", "-s", "3000", a.stack).CombinedOutput(); err != nil {
					if _, missing := exec.LookPath("ping"); missing == nil {
						t.Errorf("ping: %v\n%s", err, out)
					}
				}
			}
		})
	}
}
