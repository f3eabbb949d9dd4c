// Command tun serves HTTP from a stack of its own at one end of a TUN device,
// or with -get fetches a page from the host through it:
//
//	ip tuntap add dev tun0 mode tun
//	ip addr add 192.0.2.1/24 dev tun0
//	ip link set tun0 up
//	go run ./netstack/example/tun -dev tun0 -addr 192.0.2.2/24 &
//	curl http://192.0.2.2/
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link/tun"
	"casemate/netstack/netconn"
)

func main() {
	dev := flag.String("dev", "tun0", "TUN device")
	addr := flag.String("addr", "192.0.2.2/24", "address of the stack")
	mtu := flag.Int("mtu", 1500, "MTU of the device, bytes")
	get := flag.String("get", "", "fetch this URL, whose host is an address, instead of serving")
	flag.Parse()
	if err := run(*dev, *addr, *mtu, *get); err != nil {
		log.Fatalf("tun: %v", err)
	}
}

func run(dev, addr string, mtu int, get string) error {
	prefix, err := netip.ParsePrefix(addr)
	if err != nil {
		return err
	}
	l, err := tun.Open(dev, mtu)
	if err != nil {
		return fmt.Errorf("open TUN device %s: %w", dev, err)
	}
	s := netstack.New(ip.Options{})
	defer s.Close()
	i, err := s.AddInterface(dev, l)
	if err != nil {
		return err
	}
	if err := s.AddAddress(i, ip.Address{Prefix: prefix}); err != nil {
		return err
	}
	s.SetUp(i, true)
	if get == "" {
		ln, err := netconn.ListenTCP(s, netip.AddrPortFrom(prefix.Addr(), 80))
		if err != nil {
			return err
		}
		return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "hello %s, this is %s\n", r.RemoteAddr, prefix.Addr())
		}))
	}
	c := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
		a, err := netip.ParseAddrPort(to)
		if err != nil {
			return nil, err
		}
		return netconn.DialTCP(ctx, s, a)
	}}}
	r, err := c.Get(get)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	fmt.Printf("%s", b)
	return err
}
