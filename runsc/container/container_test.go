package container

import (
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"casemate/runsc/config"
)

func env(root string) *Env {
	return &Env{Conf: &config.Config{Root: root}, Log: slog.New(slog.DiscardHandler), Warn: func(string) {}}
}

func create(t *testing.T, root string) *Container {
	t.Helper()
	c, err := env(root).make("id")
	if err != nil {
		t.Fatal(err)
	}
	c.State = State{ID: "id", Sandbox: "id", Phase: Creating}
	return c
}

func remove(t *testing.T, c *Container) {
	t.Helper()
	if err := c.removeDir(); err != nil {
		t.Error(err)
	}
	c.Unlock()
}

func TestMake(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	c := create(t, root)
	if _, err := env(root).make("id"); !errors.Is(err, ErrExists) {
		t.Errorf("an id that is in use: %v", err)
	}
	for _, id := range []string{"", ".", "..", "a/b", "a b", "ü"} {
		if _, err := env(root).make(id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("making id %q: %v", id, err)
		}
		if _, err := env(root).Load(id); !errors.Is(err, ErrInvalidID) {
			t.Errorf("loading id %q: %v", id, err)
		}
	}
	remove(t, c)
	if _, err := env(root).Load("id"); !errors.Is(err, ErrNotExist) {
		t.Errorf("loading what was removed: %v", err)
	}
	if _, err := env(root).Open("id"); !errors.Is(err, ErrNotExist) {
		t.Errorf("opening what was removed: %v", err)
	}
	remove(t, create(t, root))
}

func sleeper(t *testing.T) (Process, <-chan error) {
	t.Helper()
	sleep := exec.Command("sleep", "600")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Find(sleep.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- sleep.Wait() }()
	t.Cleanup(func() { sleep.Process.Kill() })
	return p, ended
}

// TestTakeOver has the state of a runsc run that was killed.
func TestTakeOver(t *testing.T) {
	root := t.TempDir()
	sandbox, ended := sleeper(t)
	old := create(t, root)
	old.State.Init, old.State.Sentry = sandbox, sandbox
	// Numbers that now are another process's.
	old.State.Gofer = Process{PID: os.Getpid(), Start: 1}
	old.State.Keeper = Process{PID: os.Getpid(), Start: 1}
	if err := old.save(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(old.dir, "socket"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	old.Unlock()

	c := create(t, root)
	if err := <-ended; err == nil {
		t.Error("the old sandbox was not killed")
	}
	if entries, err := os.ReadDir(c.dir); err != nil || len(entries) != 1 {
		t.Errorf("left in the directory: %v, %v", entries, err)
	}
	remove(t, c)
}

// TestTakeOverHalfMade has the directory of a command that was killed at once.
func TestTakeOverHalfMade(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "id"), 0o711); err != nil {
		t.Fatal(err)
	}
	remove(t, create(t, root))
}

// TestNoTakeOver has containers that stay until they are deleted.
func TestNoTakeOver(t *testing.T) {
	keeper, _ := sleeper(t)
	for _, k := range []Process{{}, keeper} {
		root := t.TempDir()
		c := create(t, root)
		c.State.Keeper = k
		if err := c.save(); err != nil {
			t.Fatal(err)
		}
		c.Unlock()
		if _, err := env(root).make("id"); !errors.Is(err, ErrExists) {
			t.Errorf("a container was taken over: %v", err)
		}
	}
}

func TestConcurrentMake(t *testing.T) {
	root := t.TempDir()
	var wg sync.WaitGroup
	var mu sync.Mutex
	holders, most := 0, 0
	for range 8 {
		wg.Go(func() {
			for range 200 {
				c, err := env(root).make("id")
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
				if err := c.save(); err != nil {
					t.Error(err)
				}
				mu.Lock()
				holders--
				mu.Unlock()
				if err := c.removeDir(); err != nil {
					t.Error(err)
				}
				c.Unlock()
			}
		})
	}
	wg.Wait()
	if most != 1 {
		t.Errorf("%d had the container at the same time", most)
	}
}

// TestStatus follows a container whose first process is one of this test's.
func TestStatus(t *testing.T) {
	c := create(t, t.TempDir())
	defer c.Unlock()
	check := func(want Status) {
		t.Helper()
		if got := c.Status(); got != want {
			t.Errorf("status %s, want %s", got, want)
		}
	}
	check(StatusCreating)
	p, ended := sleeper(t)
	c.State.Init = p
	check(StatusCreating)
	c.State.Phase = Created
	check(StatusCreated)
	c.State.Phase = Started
	check(StatusRunning)
	c.State.Init.Start++ // the number of another process
	check(StatusStopped)
	c.State.Init = p
	if err := p.Signal(9); err != nil {
		t.Fatal(err)
	}
	<-ended
	check(StatusStopped)
	if err := p.Signal(9); err == nil {
		t.Error("a signal was sent to a process that has ended")
	}
}
