package container

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

func create(t *testing.T, root string) *Container {
	t.Helper()
	c, err := Create(root, "id", "/bundle")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	c := create(t, root)
	if _, err := Create(root, "id", ""); !errors.Is(err, ErrExists) {
		t.Errorf("an id that is in use: %v", err)
	}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "ü"} {
		if _, err := Create(root, id, ""); !errors.Is(err, ErrInvalidID) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	if err := c.Remove(); err != nil {
		t.Fatal(err)
	}
	if err := create(t, root).Remove(); err != nil {
		t.Error(err)
	}
}

// TestTakeOver kills, as far as a test can, the command that has made a container: its
// lock is free and its state is there.
func TestTakeOver(t *testing.T) {
	root := t.TempDir()
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleep.Wait() }()
	defer sleep.Process.Kill()

	old := create(t, root)
	old.State.Sandbox = NameProcess(sleep.Process.Pid)
	// A number that now is another process's.
	old.State.Gofer = Process{PID: os.Getpid(), Start: 1}
	if err := old.Save(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old.Dir(), "socket"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old.lock.Close()

	c := create(t, root)
	if err := <-ended; err == nil {
		t.Error("the old sandbox was not killed")
	}
	if entries, err := os.ReadDir(c.Dir()); err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
	if err := c.Remove(); err != nil {
		t.Error(err)
	}
}

// TestTakeOverHalfMade has the directory of a command that was killed at once.
func TestTakeOverHalfMade(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "id"), 0o711); err != nil {
		t.Fatal(err)
	}
	if err := create(t, root).Remove(); err != nil {
		t.Error(err)
	}
}

func TestNoTakeOverOfDetached(t *testing.T) {
	root := t.TempDir()
	c := create(t, root)
	c.State.Foreground = false
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	c.lock.Close()
	if _, err := Create(root, "id", ""); !errors.Is(err, ErrExists) {
		t.Errorf("a detached container was taken over: %v", err)
	}
}

func TestConcurrentCreate(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	holders, most := 0, 0
	for range 8 {
		wg.Go(func() {
			for range 200 {
				c, err := Create(root, "id", "")
				if errors.Is(err, ErrExists) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				holders++
				most = max(most, holders)
				mu.Unlock()
				if err := c.Save(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				holders--
				mu.Unlock()
				if err := c.Remove(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d had the container at the same time", most)
	}
}
