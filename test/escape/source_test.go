package escape

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestSwappedSource starts sandboxes while the host swaps the source of a bind mount:
// a directory, a symbolic link to another one, and a file. What the container gets is
// one of the three, or it does not start.
func TestSwappedSource(t *testing.T) {
	runsc := command(t)
	outside := t.TempDir()
	c := newCanary(t, outside)
	source := filepath.Join(outside, "source")
	must(t, os.Mkdir(source, 0o755))
	must(t, os.WriteFile(filepath.Join(source, "mark"), []byte("directory"), 0o644))
	other := filepath.Join(outside, "other")
	must(t, os.Mkdir(other, 0o755))
	must(t, os.WriteFile(filepath.Join(other, "mark"), []byte("linked"), 0o644))
	must(t, os.Symlink("other", filepath.Join(outside, "link")))
	must(t, os.WriteFile(filepath.Join(outside, "file"), []byte("file"), 0o644))

	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i := 0; ; i++ {
			select {
			case <-done:
				return
			default:
			}
			with := filepath.Join(outside, []string{"link", "file"}[i/2%2])
			if err := unix.Renameat2(unix.AT_FDCWD, source, unix.AT_FDCWD, with, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("swapping: %v", err)
				return
			}
		}
	}()
	started := map[string]int{}
	for range 30 {
		s := start(t, runsc, "systrap", "swapped", t.TempDir(), source, "/bin/sh", "-c",
			"if [ -d /shared ]; then cat /shared/mark; ls -a /shared /shared/..; else cat /shared; fi; cat /canary /shared/canary /shared/../canary; exit 0")
		if !s.wait(time.Minute) {
			t.Fatal("it does not end")
		}
		out := s.out.String()
		mark := ""
		for _, m := range []string{"directory", "linked", "file"} {
			if strings.HasPrefix(out, m) {
				mark = m
			}
		}
		if mark == "" && (s.err == nil || !strings.Contains(out, source) && !strings.Contains(out, other)) {
			t.Errorf("neither a container nor a reason: %v: %s", s.err, out)
		}
		if strings.Contains(out, secret) {
			t.Errorf("the secret has come out: %s", out)
		}
		started[mark]++
		nothingLeft(t, s, nil)
	}
	close(done)
	wg.Wait()
	c.check(t)
	t.Logf("%v", started)
}
