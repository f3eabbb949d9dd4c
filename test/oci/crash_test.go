package oci

import (
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
)

// How large the test is.
const (
	crashClients    = 8
	crashContainers = 50
	// crashSpared is how often a container is left alone: every fifth.
	crashSpared = 5
	// crashSpan is in which time after the beginning of a command, or of a container's
	// running, the blow falls. A command takes about a third of it on an idle machine.
	crashSpan = 150 * time.Millisecond
)

// TestCrash has clients make and end containers side by side, while runsc, sentries, gofers
// and monitors are killed at random points. What was not hit is there and works; of the rest
// nothing is left once it was deleted as an engine does.
//
// CRASH_SEED repeats the choices of an earlier run.
func TestCrash(t *testing.T) {
	seed := rand.Uint64()
	if text := os.Getenv("CRASH_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("CRASH_SEED=%d", seed)
	c := &crash{place: newPlace(t), family: newFamily(t), runsc: runscPath(t), spared: map[string]bool{}}
	c.bundle(t, "sleep", "exec sleep 1000", nil)

	numbers := make(chan int)
	var wg sync.WaitGroup
	for range crashClients {
		wg.Go(func() {
			for i := range numbers {
				c.live(t, i, rand.New(rand.NewPCG(seed, uint64(i))))
			}
		})
	}
	for i := range crashContainers {
		numbers <- i
	}
	close(numbers)
	wg.Wait()

	c.checkSpared(t)
	for id := range c.spared {
		if out, err := c.rt("delete", "--force", id); err != nil {
			t.Errorf("deleting %s: %v: %s", id, err, out)
		}
	}
	if out, err := c.rt("list", "--quiet"); err != nil || out != "" {
		t.Errorf("list at the end: %v: %s", err, out)
	}
	c.nothingLeft(t, c.family, fmt.Sprintf("crash-%d-", os.Getpid()))
}

// A crash is the test's state.
type crash struct {
	*place
	*family
	runsc string

	mu     sync.Mutex
	spared map[string]bool // ids of containers that were not hit
}

func (c *crash) id(i int) string { return fmt.Sprintf("crash-%d-%d", os.Getpid(), i) }

func (c *crash) command(args ...string) *exec.Cmd {
	return exec.Command(c.runsc, append([]string{"--root", c.state()}, args...)...)
}

func (c *crash) rt(args ...string) (string, error) { return c.run(c.command(args...)) }

// live takes container i through its life, in which one thing goes wrong.
func (c *crash) live(t *testing.T, i int, random *rand.Rand) {
	id, sleep := c.id(i), filepath.Join(c.dir, "sleep")
	if i%crashSpared == 0 {
		if out, err := c.rt("run", "--detach", "--bundle", sleep, id); err != nil {
			t.Errorf("%s: %v: %s", id, err, out)
			return
		}
		c.mu.Lock()
		c.spared[id] = true
		c.mu.Unlock()
		return
	}
	victim := []string{"run", "create", "start", "exec", "kill", "delete", "pause", "init", "gofer", "monitor"}[random.IntN(10)]
	delay := time.Duration(random.Int64N(int64(crashSpan)))
	if victim == "run" {
		// In the foreground nobody is left who deletes it.
		c.strike(t, delay, c.command("run", "--bundle", sleep, id))
		return
	}
	defer func() {
		if out, err := c.rt("delete", "--force", id); err != nil {
			t.Errorf("%s, %s hit after %v: delete --force: %v: %s", id, victim, delay, err, out)
		}
	}()
	pidFile := filepath.Join(c.dir, id+".pid")
	for _, args := range [][]string{
		{"create", "--bundle", sleep, id},
		{"start", id},
		{"exec", "--detach", "--pid-file", pidFile, id, "sleep", "1001"},
	} {
		cmd := c.command(args...)
		if args[0] == victim {
			c.strike(t, delay, cmd)
			return
		}
		if out, err := c.run(cmd); err != nil {
			t.Errorf("%s: %s: %v: %s", id, args[0], err, out)
			return
		}
	}
	switch victim {
	case "kill":
		c.strike(t, delay, c.command("kill", id, "KILL"))
	case "pause":
		c.strike(t, delay, c.command("pause", id))
	case "delete":
		c.strike(t, delay, c.command("delete", "--force", id))
	default:
		time.Sleep(delay)
		must(t, unix.Kill(c.process(t, id, victim, pidFile), unix.SIGKILL))
		if victim != "monitor" {
			c.becomesStopped(t, id)
		}
	}
}

// process is one of a container's processes on the host.
func (c *crash) process(t *testing.T, id, which, pidFile string) int {
	if which == "monitor" {
		data, err := os.ReadFile(pidFile)
		if err != nil {
			t.Error(err)
		}
		pid, err := strconv.Atoi(string(data))
		if err != nil {
			t.Error(err)
		}
		return pid
	}
	var state map[string]json.RawMessage
	var p struct{ PID int }
	data, err := os.ReadFile(filepath.Join(c.state(), id, "state.json"))
	if err == nil {
		err = json.Unmarshal(data, &state)
	}
	if err == nil {
		err = json.Unmarshal(state[which], &p)
	}
	if err != nil || p.PID <= 0 {
		t.Errorf("%s has no %s: %v", id, which, err)
		return os.Getpid()
	}
	return p.PID
}

// strike runs a command and kills it after a time.
func (c *crash) strike(t *testing.T, delay time.Duration, cmd *exec.Cmd) {
	if err := c.start(cmd); err != nil {
		t.Error(err)
		return
	}
	timer := time.AfterFunc(delay, func() { cmd.Process.Kill() })
	defer timer.Stop()
	c.wait(cmd) // it is killed, or has ended before
}

// status is what runsc says that a container's state is.
func (c *crash) status(id string) string {
	var state struct{ Status string }
	out, err := c.rt("state", id)
	if err == nil {
		err = json.Unmarshal([]byte(out), &state)
	}
	if err != nil {
		return fmt.Sprintf("%v: %s", err, out)
	}
	return state.Status
}

func (c *crash) becomesStopped(t *testing.T, id string) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		state := c.status(id)
		if state == "stopped" {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s is %s, not stopped", id, state)
			return
		}
	}
}

// checkSpared sees to it that just the containers that were not hit are there, and that
// programs can be run in them.
func (c *crash) checkSpared(t *testing.T) {
	out, err := c.rt("list", "--quiet")
	if err != nil {
		t.Errorf("list: %v: %s", err, out)
	}
	got, want := strings.Fields(out), slices.Sorted(maps.Keys(c.spared))
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("list says %v; %v were not hit", got, want)
	}
	for _, id := range want {
		if state := c.status(id); state != "running" {
			t.Errorf("%s is %s, not running", id, state)
		}
		if out, err := c.rt("exec", id, "true"); err != nil {
			t.Errorf("exec in %s: %v: %s", id, err, out)
		}
	}
}
