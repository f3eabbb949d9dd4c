package escape

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// meddle is the host's part in the attack of some programs: while it runs, a
// directory of the shared tree is, by turns, a directory and a symbolic link to the
// directory around the tree. The caller stops it.
func meddle(t *testing.T, name, shared string) (stop func()) {
	t.Helper()
	if name != "paths" {
		return func() {}
	}
	inside := filepath.Join(shared, "swap")
	other := filepath.Join(shared, "other")
	must(t, os.Mkdir(inside, 0o777))
	must(t, os.WriteFile(filepath.Join(inside, "canary"), []byte("inside"), 0o666))
	must(t, os.Symlink("..", other))
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			select {
			case <-done:
				return
			default:
			}
			if err := unix.Renameat2(unix.AT_FDCWD, inside, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("swapping: %v", err)
				return
			}
		}
	}()
	return func() {
		close(done)
		wg.Wait()
	}
}
