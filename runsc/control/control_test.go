package control

import (
	"encoding/binary"
	"errors"
	"io"
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

// frame is a message as it is on the socket.
func frame(size int, body string) string {
	return string(binary.LittleEndian.AppendUint32(nil, uint32(size))) + body
}

// Many messages may follow each other; one that is longer than allowed is refused.
func TestLimit(t *testing.T) {
	const limit = 4 << 10
	c, peer := pair(t, limit)
	const good = 100
	go func() {
		for range good {
			body := `{"Failed":"` + strings.Repeat("x", limit/2) + `"}`
			peer.WriteString(frame(len(body), body))
		}
		peer.WriteString(frame(limit+1, ""))
	}()
	for i := range good {
		var r Reply
		if err := c.Receive(&r); err != nil || len(r.Failed) != limit/2 {
			t.Fatalf("message %d: %d bytes, %v", i, len(r.Failed), err)
		}
	}
	var r Reply
	if err := c.Receive(&r); !errors.Is(err, ErrTooLong) {
		t.Fatalf("a message that is too long: %v", err)
	}
}

// A process may receive one message and hand the socket on: the next message, though it has
// come already, is for who gets the socket.
func TestHandOver(t *testing.T) {
	c, peer := pair(t, MaxReply)
	other := NewConn(peer, MaxReply)
	for _, r := range []Reply{{PID: 7}, {Exited: &Exit{Code: 3}}} {
		if err := other.Send(&r); err != nil {
			t.Fatal(err)
		}
	}
	other.Close()
	var first, second Reply
	if err := c.Receive(&first); err != nil || first.PID != 7 {
		t.Fatalf("first message: %+v, %v", first, err)
	}
	if err := NewConn(c.File(), MaxReply).Receive(&second); err != nil || second.Exited == nil || second.Exited.Code != 3 {
		t.Fatalf("second message: %+v, %v", second, err)
	}
}

// A message that is cut short is an error, an end between messages is io.EOF.
func TestEnd(t *testing.T) {
	for text, want := range map[string]error{
		"": io.EOF, "\x02\x00": io.ErrUnexpectedEOF, frame(2, ""): io.ErrUnexpectedEOF, frame(2, "{"): io.ErrUnexpectedEOF,
	} {
		c, peer := pair(t, MaxReply)
		peer.WriteString(text)
		peer.Close()
		if err := c.Receive(new(Reply)); err != want {
			t.Errorf("%q: %v, not %v", text, err, want)
		}
	}
}
