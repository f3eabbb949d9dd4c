package escape

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const secret = "canary-7c3e1f"

// A canary is a file outside of all trees.
type canary struct {
	path string
	was  unix.Stat_t
}

func newCanary(t *testing.T, dir string) *canary {
	t.Helper()
	c := &canary{path: filepath.Join(dir, "canary")}
	must(t, os.WriteFile(c.path, []byte(secret), 0o600))
	must(t, unix.Lstat(c.path, &c.was))
	return c
}

func (c *canary) check(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(c.path)
	if err != nil || string(data) != secret {
		t.Errorf("the file outside: %q, %v", data, err)
	}
	var st unix.Stat_t
	if err := unix.Lstat(c.path, &st); err != nil || st.Mode != c.was.Mode || st.Nlink != c.was.Nlink || st.Ino != c.was.Ino || st.Uid != c.was.Uid || st.Mtim != c.was.Mtim {
		t.Errorf("the file outside has changed: %+v, was %+v, %v", st, c.was, err)
	}
}

// goferCapabilities are those that a gofer may have: CHOWN, DAC_OVERRIDE,
// DAC_READ_SEARCH, FOWNER, FSETID, MKNOD, SETFCAP.
const goferCapabilities = 1<<0 | 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<27 | 1<<31

// confined checks what the host's /proc says about a sandbox's processes. It
// returns how many stubs it has seen.
func confined(t *testing.T, s *sandbox, platform string) (stubs int) {
	t.Helper()
	roles := map[string]int{}
	for _, pid := range processes(s.cmd.Process.Pid) {
		r := role(pid)
		if status(pid, "State") == "" || strings.HasPrefix(status(pid, "State"), "Z") {
			continue
		}
		what := fmt.Sprintf("%s process %d", platform, pid)
		seen := map[string]string{}
		for _, f := range []string{"NoNewPrivs", "Seccomp", "CapEff", "CapPrm", "CapInh", "CapAmb"} {
			seen[f] = status(pid, f)
		}
		if status(pid, "VmSize") == "" {
			continue // it has ended meanwhile, or does, and cannot say any more what it is
		}
		name := r
		if r == "" {
			name = "stub"
			stubs++
		}
		roles[name]++
		if seen["NoNewPrivs"] != "1" || seen["Seccomp"] != "2" {
			t.Errorf("%s (%s): NoNewPrivs %s, Seccomp %s", what, name, seen["NoNewPrivs"], seen["Seccomp"])
		}
		allowed := uint64(0)
		if r == "gofer" {
			allowed = goferCapabilities
		}
		for _, f := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
			v, err := strconv.ParseUint(seen[f], 16, 64)
			if err != nil || v&^allowed != 0 {
				t.Errorf("%s (%s): %s %s", what, name, f, seen[f])
			}
		}
		spaces := []string{"mnt", "pid", "ipc", "uts", "net"}
		if r != "gofer" || s.cmd.SysProcAttr != nil {
			spaces = append(spaces, "user")
		}
		for _, ns := range spaces {
			mine, _ := os.Readlink("/proc/self/ns/" + ns)
			its, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, ns))
			if err == nil && mine == its {
				t.Errorf("%s (%s) is in the host's %s namespace", what, name, ns)
			}
		}
		if r == "boot" {
			out, err := exec.Command("nsenter", "--user", "--target", strconv.Itoa(pid), "cat", "/proc/sys/user/max_user_namespaces").Output()
			if err == nil && strings.TrimSpace(string(out)) != "0" {
				t.Errorf("user namespaces below the sandbox's own: %s", out)
			}
		}
		mounts(t, s, pid, name)
		directories(t, pid, name)
	}
	if (roles["boot"] != 1 || roles["gofer"] != 1) && s.wait(20*time.Second) {
		return stubs // they were ending
	}
	if roles["boot"] != 1 || roles["gofer"] != 1 {
		t.Errorf("processes: %v", roles)
	}
	return stubs
}

// mounts checks the mount namespace of a process.
func mounts(t *testing.T, s *sandbox, pid int, name string) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	for i, line := range lines {
		fields := strings.Fields(line)
		if len(fields) < 6 {
			continue
		}
		point, options := fields[4], ","+fields[5]+","
		switch {
		case i == 0 && point == "/":
			if !strings.Contains(options, ",ro,") || !strings.Contains(line, " - tmpfs ") {
				t.Errorf("root of the %s: %s", name, line)
			}
		case name != "gofer":
			t.Errorf("the %s has a mount: %s", name, line)
		case !strings.Contains(options, ",nodev,") || !strings.Contains(options, ",nosuid,"):
			t.Errorf("the gofer has a mount with devices or set-user-ID programs: %s", line)
		}
	}
}

// directories checks that a process has no directory that leads to the host: the
// gofer has those of its trees and of a procfs of its own, all others but the root
// none.
func directories(t *testing.T, pid int, name string) {
	t.Helper()
	var hostProc, root unix.Stat_t
	must(t, unix.Stat("/proc", &hostProc))
	if unix.Stat(fmt.Sprintf("/proc/%d/root", pid), &root) != nil {
		return
	}
	var links []string
	for _, pattern := range []string{"fd/*", "task/*/cwd"} {
		found, err := filepath.Glob(fmt.Sprintf("/proc/%d/%s", pid, pattern))
		must(t, err)
		links = append(links, found...)
	}
	for _, l := range links {
		var st unix.Stat_t
		if unix.Stat(l, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
			continue
		}
		if st.Dev == hostProc.Dev || name != "gofer" && (st.Dev != root.Dev || st.Ino != root.Ino) {
			where, _ := os.Readlink(l)
			t.Errorf("the %s has a directory of the host: %s, %s", name, l, where)
		}
	}
}

// nothingLeft checks that the end of s has left nothing behind; pids are its
// processes.
func nothingLeft(t *testing.T, s *sandbox, pids []int) {
	t.Helper()
	if left := gone(pids, 10*time.Second); len(left) > 0 {
		for _, p := range left {
			t.Errorf("process %d (%s, %s) is left", p, status(p, "Name"), status(p, "State"))
		}
	}
	if entries, err := os.ReadDir(s.root); err != nil || len(entries) > 0 {
		t.Errorf("the state directory has %v, %v", entries, err)
	}
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(data), s.bundle) || strings.Contains(string(data), s.root) {
		t.Errorf("a mount is left: %v", err)
	}
}
