package netlink

import (
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
	"casemate/sentry/socket"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// FuzzSend sends arbitrary messages to the kernel's side and takes the answers.
func FuzzSend(f *testing.F) {
	for typ := uint16(unix.RTM_NEWLINK); typ <= unix.RTM_GETRULE; typ++ {
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
	f.Fuzz(func(t *testing.T, data []byte) {
		stack := netstack.New(ip.Options{})
		defer stack.Close()
		if err := stack.UpLoopback(); err != nil {
			t.Fatal(err)
		}
		ctx := &vfs.Context{Cred: cred.NewRoot(cred.NewRootUserNamespace())}
		s, err := New(NewPorts(inet.NewSockets(stack), unixsocket.NewNames(stack)), unix.SOCK_RAW, unix.NETLINK_ROUTE)
		if err != nil {
			t.Fatal(err)
		}
		src := usermem.Kernel(data)
		s.Send(ctx, &src, &socket.Message{}, 0)
		for range 1 << 12 {
			dst := usermem.Kernel(make([]byte, 4096))
			if _, err := s.Receive(ctx, &dst, &socket.Message{}, unix.MSG_DONTWAIT); err != nil {
				return
			}
		}
		t.Fatal("the answers do not end")
	})
}
