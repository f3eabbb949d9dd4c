package gofer

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FuzzReply gives the client arbitrary replies to calls of all kinds. It may take what
// it decodes or end the connection; what it reports must keep its own promises.
func FuzzReply(f *testing.F) {
	f.Add(uint8(0), make([]byte, replyHeader+200))
	f.Add(uint8(1), append([]byte{0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 1, 0}, make([]byte, 300)...))
	f.Add(uint8(2), append([]byte{2, 0, 0, 0}, make([]byte, 64)...))
	f.Fuzz(func(t *testing.T, kind uint8, reply []byte) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
		check(t, err)
		s, err := newServer(p[0], nil)
		check(t, err)
		defer s.closeFiles()
		c, err := Dial(p[1])
		check(t, err)
		defer c.Close()
		served := make(chan struct{})
		quit := make(chan struct{})
		go func() {
			defer close(served)
			for {
				posted := s.mem.pending().Load() & (1<<numSlots - 1)
				if posted == 0 {
					select {
					case <-quit:
						return
					default:
						runtime.Gosched()
						continue
					}
				}
				for slot := range numSlots {
					if posted>>slot&1 == 0 {
						continue
					}
					s.mem.pending().And(^uint32(1 << slot))
					b := s.mem.reply(slot)
					clear(b[:replyHeader])
					n := copy(b, reply)
					// Most lengths are of no use: half of the replies get a good one.
					if kind&0x80 != 0 && n > replyHeader {
						binary.LittleEndian.PutUint32(b[4:], uint32(n-replyHeader))
					}
					s.mem.state(slot).Store(stateDone)
					futexWake(s.mem.state(slot), 1, anySleeper)
				}
			}
		}()
		call(t, c, kind&0x7f)
		close(quit)
		<-served
	})
}

// call makes one call of the client and checks what it returns.
func call(t *testing.T, c *Client, kind uint8) {
	node := Node(1)
	switch kind % 14 {
	case 0:
		c.Attach(0)
	case 1:
		out := make([]Entry, 3)
		if n, _, _, err := c.Walk(node, []string{"a", "b", "c"}, true, out); err == nil && n > len(out) {
			t.Fatalf("%d entries for %d names", n, len(out))
		}
	case 2:
		c.Getattr(node.At())
	case 3:
		entries, _, _, err := c.Readdir(node, 0, 4096, nil)
		for _, e := range entries {
			if err == nil && (e.Name == "" || e.Name == "." || e.Name == ".." || len(e.Name) > maxName || !plain(e.Name)) {
				t.Fatalf("a directory entry with the name %q", e.Name)
			}
		}
	case 4:
		if o, err := c.Open(node.At(), unix.O_RDWR); err == nil {
			t.Fatalf("opened without a descriptor: %+v", o)
		}
	case 5:
		if o, err := c.Create(node, "x", unix.O_RDWR, 0o600, 0, 0); err == nil {
			t.Fatalf("created without a descriptor: %+v", o)
		}
	case 6:
		if link, err := c.Readlink(node.At()); err == nil && len(link) > maxLink {
			t.Fatalf("a link of %d bytes", len(link))
		}
	case 7:
		buf := make([]byte, 10)
		if n, err := c.Getxattr(node.At(), "user.x", buf); err == nil && n > len(buf) {
			t.Fatalf("%d bytes in a buffer of %d", n, len(buf))
		}
	case 8:
		buf := make([]byte, 10)
		if n, err := c.Listxattr(node.At(), buf); err == nil && n > len(buf) {
			t.Fatalf("%d bytes in a buffer of %d", n, len(buf))
		}
	case 9:
		c.Setattr(node.At(), &SetAttr{Valid: SetMode, Mode: 0o600})
	case 10:
		c.Mkdir(node, "x", 0o700, 0, 0)
	case 11:
		c.Statfs(node)
	case 12:
		c.Rename(node, "a", node, "b", 0)
	case 13:
		c.Link(node.At(), node, "x")
	}
	if c.dead.Load() {
		select {
		case <-c.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("a connection that has failed does not end")
		}
	}
}

// plain reports whether a name has neither a slash nor a NUL.
func plain(name string) bool {
	for i := range len(name) {
		if name[i] == '/' || name[i] == 0 {
			return false
		}
	}
	return true
}
