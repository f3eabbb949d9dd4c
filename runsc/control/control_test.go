package control

import (
	"errors"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func pair(t *testing.T, limit int) (*Conn, *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, peer := NewConn(os.NewFile(uintptr(fds[0]), "control"), limit), os.NewFile(uintptr(fds[1]), "peer")
	t.Cleanup(func() { c.Close(); peer.Close() })
	return c, peer
}

// Many messages may follow each other; one that has no end is refused.
func TestLimit(t *testing.T) {
	const limit = 4 << 10
	c, peer := pair(t, limit)
	const good = 100
	go func() {
		for range good {
			peer.WriteString(`{"Failed":"` + strings.Repeat("x", limit/2) + `"}` + "\n")
		}
		peer.WriteString(`{"Failed":"`)
		for {
			if _, err := peer.WriteString(strings.Repeat("x", limit)); err != nil {
				return
			}
		}
	}()
	for i := range good {
		var r Reply
		if err := c.Receive(&r); err != nil || len(r.Failed) != limit/2 {
			t.Fatalf("message %d: %d bytes, %v", i, len(r.Failed), err)
		}
	}
	var r Reply
	if err := c.Receive(&r); !errors.Is(err, ErrTooLong) {
		t.Fatalf("a message without end: %v", err)
	}
}
