package netconn

import (
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"casemate/netstack"
)

// benchHost streams 1 MiB writes between our stack and the host's.
func benchHost(b *testing.B, on func(testing.TB) *netstack.Stack, out bool) {
	inNetns(b)
	s := on(b)
	data := make([]byte, 1<<20)
	var from, to net.Conn
	if out {
		hl, err := net.Listen("tcp", "192.0.2.1:7")
		if err != nil {
			b.Fatal(err)
		}
		defer hl.Close()
		if from, err = DialTCP(context.Background(), s, netip.MustParseAddrPort("192.0.2.1:7")); err != nil {
			b.Fatal(err)
		}
		if to, err = hl.Accept(); err != nil {
			b.Fatal(err)
		}
	} else {
		sl, err := ListenTCP(s, netip.MustParseAddrPort("192.0.2.2:7"))
		if err != nil {
			b.Fatal(err)
		}
		defer sl.Close()
		if from, err = net.Dial("tcp", "192.0.2.2:7"); err != nil {
			b.Fatal(err)
		}
		if to, err = sl.Accept(); err != nil {
			b.Fatal(err)
		}
	}
	defer to.Close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1<<20)
		for {
			if _, err := to.Read(buf); err != nil {
				if err != io.EOF {
					b.Error(err)
				}
				return
			}
		}
	}()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := from.Write(data); err != nil {
			b.Fatal(err)
		}
	}
	from.Close()
	<-done
}

func BenchmarkHost(b *testing.B) {
	b.Run("packet-out", func(b *testing.B) { benchHost(b, onPacket, true) })
	b.Run("packet-in", func(b *testing.B) { benchHost(b, onPacket, false) })
	b.Run("tun-out", func(b *testing.B) { benchHost(b, onTUN, true) })
	b.Run("tun-in", func(b *testing.B) { benchHost(b, onTUN, false) })
}
