package control

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// FuzzReceive has arbitrary bytes come from the socket: messages or an error, in time
// and in bounds, as runsc reads replies and the sandbox requests.
func FuzzReceive(f *testing.F) {
	for _, seed := range []any{Reply{PID: 7}, Reply{Exited: &Exit{Code: 3, Signal: 9}}, Reply{Failed: "x", Code: 127},
		Request{Signal: &Signal{Number: 15}}, Request{Resize: &WindowSize{Rows: 24, Cols: 80}}, Boot{Container: Container{ID: "x"}}} {
		text, err := json.Marshal(seed)
		if err != nil {
			f.Fatal(err)
		}
		whole := []byte(frame(len(text), string(text)))
		f.Add(whole)
		f.Add(append(whole, whole...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<16 {
			return
		}
		const limit = 4 << 10
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		c, peer := NewConn(os.NewFile(uintptr(fds[0]), "control"), limit), os.NewFile(uintptr(fds[1]), "peer")
		defer c.Close()
		go func() {
			peer.Write(data)
			peer.Close()
		}()
		end := time.Now().Add(30 * time.Second)
		for n := 0; ; n++ {
			var r Reply
			if err := c.Receive(&r); err != nil {
				break
			}
			if len(r.Failed) > limit || n > len(data) || time.Now().After(end) {
				t.Fatalf("message %d of %d bytes: %d", n, len(data), len(r.Failed))
			}
			if r.Exited != nil {
				r.Exited.Status()
			}
		}
	})
}
