package programs

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	goruntime "runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// A site is a place where whatever a runtime leaves behind shows: namespaces of the
// test's own for mounts, sockets and System V IPC, with empty directories for
// temporary and state files, and this process as the parent of every orphan.
type site struct {
	dir     string // for bundles; empty at first
	runsc   string // copy of the command
	busybox string // copy of a static busybox
	before  []string
}

// Directories that are empty at first in a site.
var scratch = []string{"/tmp", "/var/tmp", "/run", "/dev/shm"}

// newSite moves the calling goroutine into a new site; it must run everything that
// is to be looked at. The goroutine's thread ends with it.
func newSite(t *testing.T, runsc string) *site {
	t.Helper()
	s := &site{dir: "/tmp/bundles", runsc: "/tmp/runsc", busybox: "/tmp/busybox"}
	copies := map[string][]byte{}
	for to, from := range map[string]string{s.runsc: runsc, s.busybox: filepath.Join(debian(t), "bin/busybox")} {
		data, err := os.ReadFile(from)
		must(t, err)
		copies[to] = data
	}
	goruntime.LockOSThread() // for good
	must(t, unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))
	must(t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_NEWNET|unix.CLONE_NEWIPC))
	must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	for _, d := range scratch {
		must(t, unix.Mount("tmpfs", d, "tmpfs", 0, "mode=1777"))
	}
	must(t, os.Mkdir(s.dir, 0o755))
	for to, data := range copies {
		must(t, os.WriteFile(to, data, 0o755))
	}
	s.before = s.snapshot(t)
	return s
}

// snapshot lists everything in the site.
func (s *site) snapshot(t *testing.T) (things []string) {
	t.Helper()
	lines := func(what, path string) {
		data, err := os.ReadFile(path)
		must(t, err)
		for l := range strings.Lines(string(data)) {
			things = append(things, what+" "+strings.TrimSpace(l))
		}
	}
	for _, pid := range descendants(t) {
		things = append(things, "process "+pid.String())
	}
	lines("mount", "/proc/thread-self/mountinfo")
	lines("socket", "/proc/thread-self/net/unix")
	lines("shared memory", "/proc/sysvipc/shm")
	for _, d := range scratch {
		must(t, filepath.WalkDir(d, func(path string, _ fs.DirEntry, err error) error {
			things = append(things, "file "+path)
			return err
		}))
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, fmt.Sprintf("programs-%d-", os.Getpid())) {
			things = append(things, "cgroup "+path)
		}
		return nil
	})
	return things
}

// check fails the test if there is anything that was not there when the site was made. What
// dies asynchronously gets some seconds to do so.
func (s *site) check(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(s.dir)
	must(t, err)
	for _, e := range entries {
		dir := filepath.Join(s.dir, e.Name())
		if state, err := os.ReadDir(stateDir(dir)); err == nil && len(state) > 0 {
			t.Errorf("state left behind: %v", state)
		}
		must(t, os.RemoveAll(dir))
	}
	deadline := time.Now().Add(10 * time.Second)
	for {
		reap()
		left := slices.DeleteFunc(s.snapshot(t), func(thing string) bool { return slices.Contains(s.before, thing) })
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
			s.before = append(s.before, left...)
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// bundle makes a bundle whose root file system has a static busybox as /bin/sh and little
// else.
func (s *site) bundle(t *testing.T, spec object) (dir string) {
	t.Helper()
	dir, err := os.MkdirTemp(s.dir, "bundle")
	must(t, err)
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "dev", "etc", "proc", "sys", "tmp"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	data, err := os.ReadFile(s.busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin/busybox"), data, 0o755))
	for _, name := range []string{"sh", "sleep", "cat", "cp", "echo", "true"} {
		must(t, os.Symlink("busybox", filepath.Join(root, "bin", name)))
	}
	must(t, bundle.Write(dir, spec))
	return dir
}

// A process is a process of the host.
type process struct {
	pid, parent int
	state       string
	args        string // command line, or the name if it has none
}

func (p process) String() string { return fmt.Sprintf("%d %s %s", p.pid, p.state, p.args) }

// descendants returns the processes below this one, which adopts orphans.
func descendants(t *testing.T) []process {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	must(t, err)
	all := map[int]process{}
	for _, e := range entries {
		var p process
		if n, _ := fmt.Sscan(e.Name(), &p.pid); n != 1 {
			continue
		}
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
		if err != nil {
			continue // gone
		}
		name, rest := stat[bytes.IndexByte(stat, '('):bytes.LastIndexByte(stat, ')')+1], stat[bytes.LastIndexByte(stat, ')')+2:]
		fmt.Sscan(string(rest), &p.state, &p.parent)
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
		if p.args = strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " ")); p.args == "" {
			p.args = string(name)
		}
		all[p.pid] = p
	}
	var below []process
	for _, p := range all {
		for q, ok := p, true; ok; q, ok = all[q.parent] {
			if q.parent == os.Getpid() {
				below = append(below, p)
				break
			}
		}
	}
	slices.SortFunc(below, func(a, b process) int { return a.pid - b.pid })
	return below
}

// reap waits for orphans that have ended. No child of os/exec may be running.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}
