package docker

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
	"casemate/test/dockerd"
)

// How large the test of crashes is.
const (
	crashClients    = 8
	crashContainers = 50
	// crashSpared is how often a container is left alone: every fifth.
	crashSpared = 5
	// crashSpan is in which time after a process has come the blow falls.
	crashSpan = 60 * time.Millisecond
	// crashSettling is how long Docker may take to see what has happened.
	crashSettling = time.Minute
)

// TestCrash has clients start containers side by side, while commands of runsc, sentries, gofers
// and shims are killed at random points. Docker knows what has become of each, what was not hit
// works, and nothing is left when the containers have been removed.
//
// CRASH_SEED repeats the choices of an earlier run.
func TestCrash(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("CRASH_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("CRASH_SEED=%d", seed)
	runsc, err := bundle.Runsc()
	if err != nil {
		t.Fatal(err)
	}
	d, err := dockerd.Start(dockerd.Options{Runsc: runsc, Runtimes: map[string][]string{"runsc": nil}, Default: "runsc"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Stop(); err != nil {
			t.Errorf("after the test: %v", err)
		}
	}()
	if err := d.ImportBusybox(); err != nil {
		t.Fatal(err)
	}
	c := &crash{T: t, daemon: d, hit: map[string]string{}}
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range crashClients {
		wg.Go(func() {
			for i := range numbers {
				c.live(i, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
	for i := range crashContainers {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	for _, name := range slices.Sorted(maps.Keys(c.hit)) {
		c.check(name, c.hit[name])
	}
}

// A crash is the test's state.
type crash struct {
	*testing.T
	daemon *dockerd.Daemon

	mu  sync.Mutex
	hit map[string]string // what was killed of each container, "" for nothing
}

// live starts container i and kills one of its processes.
func (c *crash) live(i int, random *rand.Rand) {
	victim := []string{"create", "start", "sentry", "gofer", "shim"}[random.IntN(5)]
	if i%crashSpared == 0 {
		victim = ""
	}
	delay := time.Duration(random.Int64N(int64(crashSpan)))
	name := fmt.Sprintf("crash%d", i)
	out, err := c.daemon.Docker(nil, "create", "--name", name, "--network", "none", "bb", "sleep", "1000")
	if err != nil {
		c.Error(err)
		return
	}
	id := strings.TrimSpace(out)
	c.mu.Lock()
	c.hit[name] = victim
	c.mu.Unlock()

	started := make(chan error, 1)
	go func() {
		_, err := c.daemon.Docker(nil, "start", name)
		started <- err
	}()
	if victim == "create" || victim == "start" {
		c.strike(id, victim, delay, started)
		return
	}
	if err := <-started; err != nil {
		c.Error(err)
		return
	}
	time.Sleep(delay)
	pid := 0
	switch victim {
	case "":
		return
	case "shim":
		pid = process("containerd-shim", id)
	default:
		pid = c.ofState(id, victim)
	}
	if pid == 0 {
		c.Errorf("%s has no %s", name, victim)
		return
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		c.Errorf("%s: killing the %s: %v", name, victim, err)
	}
}

// strike kills a command of runsc that works on a container, some time after it was begun. It
// may have ended by then.
func (c *crash) strike(id, command string, delay time.Duration, started <-chan error) {
	for {
		if pid := process("runsc", id, command); pid != 0 {
			time.Sleep(delay)
			unix.Kill(pid, unix.SIGKILL)
			if err := <-started; err != nil {
				c.clear(id)
			}
			return
		}
		select {
		case <-started:
			return
		default:
		}
	}
}

// clear removes what is left of a container that could not be started. If runsc start was killed
// before it had done anything, Docker leaves a task that is created, as it does with any runtime:
// it asks containerd to delete it without killing it first.
func (c *crash) clear(id string) {
	ctr := exec.Command("ctr", "--address", filepath.Join(c.daemon.Dir, "exec/containerd/containerd.sock"), "--namespace", "moby",
		"tasks", "delete", "--force", id)
	if out, err := ctr.CombinedOutput(); err != nil && !strings.Contains(string(out), "not found") {
		c.Errorf("deleting the task %s: %v: %s", id, err, out)
	}
}

// process finds the process of a program that has all these arguments, 0 if there is none.
func process(program string, args ...string) int {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		words := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
		if !strings.HasPrefix(filepath.Base(words[0]), program) {
			continue
		}
		if !slices.ContainsFunc(args, func(a string) bool { return !slices.Contains(words, a) }) {
			return pid
		}
	}
	return 0
}

// ofState is a process that runsc's state of a container names.
func (c *crash) ofState(id, which string) int {
	var state map[string]json.RawMessage
	var p struct{ PID int }
	found, err := filepath.Glob(filepath.Join(c.daemon.Dir, "exec/runtime-*/moby", id, "state.json"))
	if err != nil || len(found) != 1 {
		c.Errorf("the state of %s: %v, %v", id, found, err)
		return 0
	}
	data, err := os.ReadFile(found[0])
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err == nil {
		err = json.Unmarshal(state[which], &p)
	}
	if err != nil {
		c.Error(err)
	}
	return p.PID
}

// check sees to it that Docker has the right idea of a container.
func (c *crash) check(name, victim string) {
	works := func() bool {
		_, err := c.daemon.Docker(nil, "exec", name, "true")
		return err == nil
	}
	for deadline := time.Now().Add(crashSettling); ; time.Sleep(100 * time.Millisecond) {
		out, err := c.daemon.Docker(nil, "inspect", "-f", "{{.State.Running}} {{.State.Pid}}", name)
		running := strings.HasPrefix(out, "true ")
		right := err == nil
		switch victim {
		case "":
			right = right && running && works()
		case "create", "start":
			right = right && (!running || works())
		default:
			right = right && out == "false 0\n"
		}
		if right {
			return
		}
		if time.Now().After(deadline) {
			c.Errorf("%s, whose %q was killed: %s %v", name, victim, out, err)
			return
		}
	}
}
