package iptables

import (
	"bytes"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"casemate/netstack/wheel"
	"casemate/netstack/wire"
)

// replacement is the option that puts a table's first content there.
func replacement(l *layout, name string) []byte {
	p := initial(l, name)
	b := make([]byte, replaceHeader)
	copy(b, name)
	ne.PutUint32(b[32:], p.hooks)
	ne.PutUint32(b[36:], uint32(len(p.entries)))
	ne.PutUint32(b[40:], uint32(len(p.blob)))
	for i := range p.entryAt {
		ne.PutUint32(b[44+4*i:], p.entryAt[i])
		ne.PutUint32(b[64+4*i:], p.underflow[i])
	}
	ne.PutUint32(b[84:], uint32(len(p.entries)))
	return append(b, p.blob...)
}

// datagram is a packet for the rules.
func datagram(six bool) *pkt.Packet {
	p := pkt.New()
	wire.UDP(p.Append(wire.UDPLen)).Put(1, 2, wire.UDPLen, 0)
	p.Proto = unix.IPPROTO_UDP
	if six {
		p.Src, p.Dst = netip.IPv6Loopback(), netip.IPv6Loopback()
		wire.IPv6(p.Prepend(wire.IPv6Len)).Put(&wire.IPv6Fields{Src: p.Src, Dst: p.Dst, PayloadLen: wire.UDPLen, NextHeader: p.Proto, HopLimit: 64})
		p.NetLen = wire.IPv6Len
		return p
	}
	p.Src, p.Dst = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.AddrFrom4([4]byte{127, 0, 0, 1})
	wire.IPv4(p.Prepend(wire.IPv4MinLen)).Put(&wire.IPv4Fields{Src: p.Src, Dst: p.Dst, TotalLen: wire.IPv4MinLen + wire.UDPLen, TTL: 64, Proto: p.Proto})
	p.NetLen = wire.IPv4MinLen
	return p
}

// TestReplace puts a table's first content in its own place.
func TestReplace(t *testing.T) {
	s := ip.New(ip.Options{Wheel: wheel.NewManual()})
	defer s.Close()
	for name := range kinds {
		for _, tables := range []*Tables{New4(filter.New(ip.New(ip.Options{Wheel: wheel.NewManual()}))), New6(filter.New(ip.New(ip.Options{Wheel: wheel.NewManual()})))} {
			value := replacement(tables.layout, name)
			counters, _, err := tables.Replace(bytes.Clone(value))
			if err != nil || len(counters) != 16*int(ne.Uint32(value[36:])) {
				t.Errorf("%s: %d bytes of counters, %v", name, len(counters), err)
			}
			if got := tables.Names(); got != name+"\n" {
				t.Errorf("the names are %q", got)
			}
			if tables.filter.Stack.Filtered() {
				t.Errorf("%s: a table that lets everything pass filters", name)
			}
			ne.PutUint32(value[36:], 1)
			if _, _, err := tables.Replace(value); err != unix.EINVAL {
				t.Errorf("%s with the wrong number of entries: %v", name, err)
			}
		}
	}
}

// FuzzReplace puts tables of any content there and has packets go through them.
func FuzzReplace(f *testing.F) {
	for name := range kinds {
		f.Add(replacement(&layout4, name), false)
		f.Add(replacement(&layout6, name), true)
	}
	f.Fuzz(func(t *testing.T, value []byte, six bool) {
		s := ip.New(ip.Options{Wheel: wheel.NewManual()})
		defer s.Close()
		front := filter.New(s)
		defer front.Close()
		tables := New4(front)
		if six {
			tables = New6(front)
		}
		if _, _, err := tables.Replace(value); err != nil {
			return
		}
		name, _, _ := bytes.Cut(value[:nameLen], []byte{0})
		p := tables.tables[string(name)]
		for hook := range unix.NF_INET_NUMHOOKS {
			if p.hooks&(1<<hook) == 0 {
				continue
			}
			d := datagram(six)
			p.run(&filter.Context{Filter: front, Packet: d, Hook: hook, Family: tables.layout.family})
			d.Free()
		}
	})
}
