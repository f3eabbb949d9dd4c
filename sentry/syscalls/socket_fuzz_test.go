package syscalls

import (
	"bytes"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/wheel"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// items are the control messages of a buffer.
func items(b []byte) (l []socket.Item, err error) {
	err = eachItem(b, func(it socket.Item) error {
		l = append(l, it)
		return nil
	})
	return l, err
}

// FuzzControl reads control messages, sends a datagram with them, receives it with what there is to
// tell of it, and writes that into a buffer of any size.
func FuzzControl(f *testing.F) {
	all := controlWriter{room: 1 << 10}
	for _, it := range []socket.Item{
		{Level: unix.SOL_SOCKET, Type: unix.SO_MARK, Data: socket.Int32(1)},
		{Level: unix.IPPROTO_IP, Type: unix.IP_TTL, Data: socket.Int32(9)},
		{Level: unix.IPPROTO_IP, Type: unix.IP_TOS, Data: []byte{8}},
		{Level: unix.IPPROTO_IP, Type: unix.IP_PKTINFO, Data: append(socket.Int32(1), make([]byte, 8)...)},
		{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_HOPLIMIT, Data: socket.Int32(9)},
		{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_TCLASS, Data: socket.Int32(9)},
		{Level: unix.IPPROTO_IPV6, Type: unix.IPV6_PKTINFO, Data: append(make([]byte, 16), socket.Int32(1)...)},
		{Level: unix.IPPROTO_UDP, Type: unix.UDP_SEGMENT, Data: []byte{100, 0}},
	} {
		one := controlWriter{room: 1 << 10}
		one.put(it.Level, it.Type, it.Data)
		all.put(it.Level, it.Type, it.Data)
		f.Add(one.b, uint16(64), it.Level == unix.IPPROTO_IPV6)
		f.Add(one.b, uint16(1<<10), it.Level != unix.IPPROTO_IPV6)
	}
	f.Add(all.b, uint16(99), true)
	user := cred.NewRootUserNamespace()
	ctx := &vfs.Context{Cred: cred.NewRoot(user)}
	f.Fuzz(func(t *testing.T, in []byte, room uint16, six bool) {
		stack := netstack.New(ip.Options{Wheel: wheel.NewManual()})
		defer stack.Close()
		if err := stack.UpLoopback(); err != nil {
			t.Fatal(err)
		}
		family, addr := unix.AF_INET, []byte{unix.AF_INET, 0, 0, 53, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}
		if six {
			family, addr = unix.AF_INET6, append([]byte{unix.AF_INET6, 0, 0, 53, 22: 0, 23: 1}, 0, 0, 0, 0)
		}
		s, err := inet.New(ctx, inet.NewSockets(&kernel.NetNamespace{UserNS: user}, stack), family, unix.SOCK_DGRAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Release(nil)
		if err := s.Bind(ctx, addr); err != nil {
			t.Fatal(err)
		}
		for _, o := range [][2]int{{unix.SOL_SOCKET, unix.SO_TIMESTAMPNS}, {unix.SOL_SOCKET, unix.SO_RXQ_OVFL},
			{unix.IPPROTO_IP, unix.IP_RECVTTL}, {unix.IPPROTO_IP, unix.IP_RECVTOS}, {unix.IPPROTO_IP, unix.IP_PKTINFO}, {unix.IPPROTO_IP, unix.IP_RECVORIGDSTADDR},
			{unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT}, {unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}, {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO}, {unix.IPPROTO_UDP, unix.UDP_GRO}} {
			if err := socket.Set(ctx, s, o[0], o[1], socket.Int32(1)); err != nil && (six || o[0] != unix.IPPROTO_IPV6) {
				t.Fatal(o, err)
			}
		}
		sent, err := items(in)
		if err != nil {
			return
		}
		src := usermem.Kernel(make([]byte, 300))
		if _, err := s.Send(ctx, &src, &socket.Message{Addr: addr, Control: socket.Control{Other: sent}}, 0); err != nil {
			return
		}
		var m socket.Message
		dst := usermem.Kernel(make([]byte, 1000))
		if _, err := s.Receive(ctx, &dst, &m, unix.MSG_DONTWAIT); err != nil {
			return
		}
		w := controlWriter{room: uint64(room)}
		for _, it := range m.Control.Other {
			w.put(it.Level, it.Type, it.Data)
		}
		if len(w.b) > int(room) {
			t.Errorf("%d bytes in a buffer of %d", len(w.b), room)
		}
		got, err := items(w.b)
		if err != nil || !w.truncated && len(got) != len(m.Control.Other) {
			t.Fatalf("%d messages written, %d read, %v", len(m.Control.Other), len(got), err)
		}
		for i, it := range got {
			want := m.Control.Other[i]
			if cut := i == len(got)-1 && w.truncated; it.Level != want.Level || it.Type != want.Type || !cut && !bytes.Equal(it.Data, want.Data) {
				t.Errorf("%+v written, %+v read", want, it)
			}
		}
	})
}
