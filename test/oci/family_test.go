package oci

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A family is all processes that descend from this one. Those whose parents have died become
// its children (PR_SET_CHILD_SUBREAPER), and are reaped as init would do, so that at the end
// of a test it is known whether any is left.
type family struct {
	mu  sync.Mutex
	own map[int]bool // children that package exec waits for
}

func newFamily(t *testing.T) *family {
	t.Helper()
	must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	f := &family{own: map[int]bool{}}
	signals, end := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(signals, unix.SIGCHLD)
	go func() {
		defer close(end)
		for range signals {
			f.reap()
		}
	}()
	t.Cleanup(func() {
		signal.Stop(signals)
		close(signals)
		<-end
		unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
	})
	return f
}

// start starts a command, which is ended by wait.
func (f *family) start(cmd *exec.Cmd) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := cmd.Start()
	if err == nil {
		f.own[cmd.Process.Pid] = true
	}
	return err
}

func (f *family) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	f.mu.Lock()
	delete(f.own, cmd.Process.Pid)
	f.mu.Unlock()
	return err
}

// run runs a command and returns what it says. Processes that it leaves may keep its output
// open.
func (f *family) run(cmd *exec.Cmd) (string, error) {
	out, err := os.CreateTemp("", "runsc-oci-output")
	if err != nil {
		return "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err = f.start(cmd); err == nil {
		err = f.wait(cmd)
	}
	said, rerr := os.ReadFile(out.Name())
	return string(said), errors.Join(err, rerr)
}

// reap waits for the children that were left to this process and have ended.
func (f *family) reap() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, pid := range children() {
		if !f.own[pid] {
			unix.Wait4(pid, nil, unix.WNOHANG, nil)
		}
	}
}

// children are the process's children (proc_tid_children(5)).
func children() (pids []int) {
	lists, _ := filepath.Glob("/proc/self/task/*/children")
	for _, list := range lists {
		data, _ := os.ReadFile(list) // the thread may have ended
		for field := range strings.FieldsSeq(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// gone waits until there are no processes of the family any more.
func (f *family) gone(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		f.reap()
		left := children()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			for _, pid := range left {
				t.Error("a process is left: " + describe(pid))
				unix.Kill(pid, unix.SIGKILL)
			}
			return
		}
	}
}

// describe says what a process is and what it waits for.
func describe(pid int) string {
	read := func(name string) string {
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
		return strings.TrimSpace(strings.ReplaceAll(string(data), "\x00", " "))
	}
	return fmt.Sprintf("%d %s; stat %s; cgroup %s", pid, read("cmdline"), read("stat"), strings.ReplaceAll(read("cgroup"), "\n", " "))
}
