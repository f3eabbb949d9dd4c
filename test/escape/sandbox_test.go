package escape

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A sandbox is a running container.
type sandbox struct {
	id     string
	root   string // the state directory
	bundle string
	cmd    *exec.Cmd
	out    *output
	ended  chan struct{} // closed when cmd has ended, with err
	err    error
}

// output collects what is written to it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 1<<20 {
		return len(p), nil
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// start runs args in a new sandbox.
func start(t *testing.T, runsc, platform, id, bin, shared string, args ...string) *sandbox {
	t.Helper()
	return startAs(t, nil, runsc, platform, id, bin, shared, args...)
}

// startAs is start as an ordinary user, if user is not nil.
func startAs(t *testing.T, user *syscall.Credential, runsc, platform, id, bin, shared string, args ...string) *sandbox {
	t.Helper()
	s := &sandbox{id: id, root: t.TempDir(), bundle: t.TempDir(), out: new(output), ended: make(chan struct{})}
	must(t, os.Chmod(s.bundle, 0o755))
	writeBundle(t, s.bundle, bin, shared, user != nil, args)
	s.cmd = exec.Command(runsc, "--root", s.root, "--platform", platform, "run", "--bundle", s.bundle, id)
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	s.cmd.Stdin = nil
	if user != nil {
		s.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
		must(t, os.Chown(s.root, int(user.Uid), int(user.Gid)))
		must(t, os.Chmod(filepath.Dir(s.root), 0o711))
	}
	must(t, s.cmd.Start())
	go func() {
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.kill()
		// Any command sweeps up what one that was killed has left: its cgroups.
		list := exec.Command(runsc, "--root", s.root, "list")
		list.SysProcAttr = s.cmd.SysProcAttr
		if out, err := list.CombinedOutput(); err != nil {
			t.Errorf("runsc list: %v: %s", err, out)
		}
	})
	return s
}

// kill ends the sandbox if it runs.
func (s *sandbox) kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

// wait waits for the end. It returns false if that does not come in time.
func (s *sandbox) wait(limit time.Duration) bool {
	select {
	case <-s.ended:
		return true
	case <-time.After(limit):
		return false
	}
}

// until waits until the output has text, or fails the test.
func (s *sandbox) until(t *testing.T, text string, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); !strings.Contains(s.out.String(), text); time.Sleep(20 * time.Millisecond) {
		select {
		case <-s.ended:
			if !strings.Contains(s.out.String(), text) {
				t.Fatalf("it ended (%v) before %q came: %s", s.err, text, s.out)
			}
		default:
		}
		if time.Now().After(end) {
			t.Fatalf("no %q: %s", text, s.out)
		}
	}
}

// processes returns all that descend from pid, without it.
func processes(pid int) []int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, d := range dirs {
		data, err := os.ReadFile(d)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		parent, _ := strconv.Atoi(fields[1])
		child, _ := strconv.Atoi(filepath.Base(filepath.Dir(d)))
		children[parent] = append(children[parent], child)
	}
	var all []int
	for next := children[pid]; len(next) > 0; next = next[1:] {
		all = append(all, next[0])
		next = append(next, children[next[0]]...)
	}
	return all
}

// role says what a process is: "boot", "gofer", or "" for a stub.
func role(pid int) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	parts := strings.Split(string(data), "\x00")
	if len(parts) > 1 && parts[0] == "runsc" {
		return parts[1]
	}
	return ""
}

// status returns a field of /proc/PID/status.
func status(pid int, field string) string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// gone waits until none of pids exists any more.
func gone(pids []int, limit time.Duration) (left []int) {
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		left = left[:0]
		for _, p := range pids {
			if unix.Kill(p, 0) != unix.ESRCH && status(p, "State") != "" && !strings.HasPrefix(status(p, "State"), "Z") {
				left = append(left, p)
			}
		}
		if len(left) == 0 || time.Now().After(end) {
			return left
		}
	}
}
