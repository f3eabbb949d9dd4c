package run

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const cgroupMount = "/sys/fs/cgroup"

// groupDir is the host's directory of a group for a controller of version 1, or of
// version 2.
func groupDir(controller, name string) string {
	if _, err := os.Stat(cgroupMount + "/cgroup.controllers"); err == nil {
		return filepath.Join(cgroupMount, name)
	}
	return filepath.Join(cgroupMount, controller, name)
}

// needsController skips a test where the host has no such controller.
func needsController(t *testing.T, controller string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make cgroups")
	}
	all, _ := os.ReadFile(cgroupMount + "/cgroup.controllers")
	if _, err := os.Stat(filepath.Join(cgroupMount, controller, "tasks")); err != nil && !strings.Contains(string(all), controller) {
		t.Skipf("the host has no cgroup controller %s", controller)
	}
}

// groupFile reads one of a group's files, by its name in version 1 or in version 2.
func groupFile(t *testing.T, controller, name, file1, file2 string) string {
	t.Helper()
	dir := groupDir(controller, name)
	data, err := os.ReadFile(filepath.Join(dir, file1))
	if err != nil {
		data, err = os.ReadFile(filepath.Join(dir, file2))
	}
	must(t, err)
	return strings.TrimSpace(string(data))
}

// left are the directories of a group that are still there.
func left(name string) []string {
	found, _ := filepath.Glob(filepath.Join(cgroupMount, "*", name))
	if _, err := os.Stat(filepath.Join(cgroupMount, name)); err == nil {
		found = append(found, name)
	}
	return found
}

// TestLimits looks at the group from the host while the container runs, and at what
// the container sees.
func TestLimits(t *testing.T) {
	needsController(t, "memory")
	needsController(t, "cpu")
	for _, rt := range runscs(t) {
		t.Run(rt.name, func(t *testing.T) {
			b := newBundle(t, "grep MemTotal /proc/meminfo; nproc; grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online; echo ready; read x")
			name := "/casemate-test/" + newID()
			t.Cleanup(func() {
				for _, dir := range left("/casemate-test") {
					os.Remove(dir)
				}
			})
			b.spec.Linux.CgroupsPath = name
			b.spec.Linux.Resources = &specs.LinuxResources{
				Memory: &specs.LinuxMemory{Limit: ptr(int64(256 << 20))},
				CPU:    &specs.LinuxCPU{Quota: ptr(int64(80000)), Period: ptr(uint64(100000)), Shares: ptr(uint64(512))},
			}
			b.write(t)
			cmd := rt.commandOf(t, b, newID())
			c := start(t, cmd)
			c.waitFor("ready")
			if want := "MemTotal:         262144 kB\n1\n1\n0\nready\n"; c.out() != want {
				t.Errorf("inside: %q, want %q", c.out(), want)
			}
			if got := groupFile(t, "memory", name, "memory.limit_in_bytes", "memory.max"); got != strconv.Itoa(256<<20) {
				t.Errorf("memory limit %s", got)
			}
			procs := strings.Fields(groupFile(t, "memory", name, "cgroup.procs", "cgroup.procs"))
			// The sentry, the gofer and at least one stub.
			if len(procs) < 3 {
				t.Errorf("processes %v", procs)
			}
			fmt.Fprintln(c.stdin)
			if got := c.wait(); got.code != 0 {
				t.Error(got)
			}
			if dirs := left(name); len(dirs) > 0 {
				t.Errorf("left: %v", dirs)
			}
		})
	}
}

func TestPidsLimit(t *testing.T) {
	needsController(t, "pids")
	change := func(b *bundle) {
		b.spec.Linux.Resources = &specs.LinuxResources{Pids: &specs.LinuxPids{Limit: ptr(int64(5))}}
	}
	// The shell is one.
	const script = "i=0; while [ $i -lt 4 ]; do sleep 10 & i=$((i+1)); done; echo made; (sleep 10) & echo not reached"
	for _, rt := range append(runscs(t), runc(t)) {
		b := newBundle(t, script)
		change(b)
		if got := rt.run(t, b); got.code != 2 || got.out != "made\n" || !strings.Contains(got.err, "can't fork: Resource temporarily unavailable") {
			t.Errorf("%s: %v", rt.name, got)
		}
	}
}

func TestOutOfMemory(t *testing.T) {
	needsController(t, "memory")
	rt := runscs(t)[0]
	b := newBundle(t, "dd if=/dev/zero of=/dev/shm/x bs=1M count=500 2>/dev/null; echo survived >&2; exit 1")
	b.spec.Mounts[3].Options = []string{"size=1g"}
	b.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20))}}
	got := rt.run(t, b)
	if got.code == 0 || got.code == 137 && !strings.Contains(got.err, "out of memory") {
		t.Error(got)
	}
}

func TestIgnoreCgroups(t *testing.T) {
	needsController(t, "memory")
	rt := runscs(t)[0]
	b := newBundle(t, "grep MemTotal /proc/meminfo; echo ready; read x")
	name := "/casemate-" + newID()
	b.spec.Linux.CgroupsPath = name
	b.spec.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(256 << 20))}}
	b.write(t)
	c := start(t, rt.commandOf(t, b, newID(), "--ignore-cgroups"))
	c.waitFor("ready")
	if dirs := left(name); len(dirs) > 0 {
		t.Errorf("there is %v", dirs)
	}
	if strings.Contains(c.out(), " 262144 kB") {
		t.Error("the container sees the limit")
	}
	fmt.Fprintln(c.stdin)
	c.wait()
}

// TestBadLimits checks that a limit that cannot be set is an error, and leaves nothing.
func TestBadLimits(t *testing.T) {
	needsController(t, "cpuset")
	rt := runscs(t)[0]
	b := newBundle(t, "echo ran")
	name := "/casemate-" + newID()
	b.spec.Linux.CgroupsPath = name
	b.spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "4000"}}
	if got := rt.run(t, b); got.code != 1 || got.out != "" || !strings.Contains(got.err, "cgroup") {
		t.Error(got)
	}
	if dirs := left(name); len(dirs) > 0 {
		t.Errorf("left: %v", dirs)
	}
}

// TestKilledCommand kills runsc run: the sandbox goes with it, and the id can be used
// again at once.
func TestKilledCommand(t *testing.T) {
	for _, rt := range runscs(t) {
		t.Run(rt.name, func(t *testing.T) {
			b := newBundle(t, "echo ready; sleep 100")
			id, name := newID(), "/casemate-"+newID()
			b.spec.Linux.CgroupsPath = name
			b.write(t)
			c := start(t, rt.commandOf(t, b, id))
			c.waitFor("ready")
			second := finish(t, rt.commandOf(t, b, id))
			if second.code != 1 || !strings.Contains(second.err, "container with given ID already exists") {
				t.Errorf("the id of a container that runs: %v", second)
			}
			must(t, c.cmd.Process.Kill())
			c.wait()
			b.spec.Process.Args = []string{"echo", "again"}
			b.write(t)
			if got := finish(t, rt.commandOf(t, b, id)); got.code != 0 || got.out != "again\n" {
				t.Errorf("the id of a container that was killed: %v", got)
			}
			if entries, err := os.ReadDir(filepath.Join(b.dir, "state")); err != nil || len(entries) != 0 {
				t.Errorf("left in the state directory: %v, %v", entries, err)
			}
			if dirs := left(name); len(dirs) > 0 {
				t.Errorf("left: %v", dirs)
			}
		})
	}
}

// waitUntil waits for a condition that comes about soon.
func waitUntil(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(timeout); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not after %v", what, timeout)
		}
	}
}

// contains reports whether text has been written to b.
func contains(b []byte, text string) bool { return bytes.Contains(b, []byte(text)) }

// TestGroupFiles reads the container's own cgroup files, as programs do that size
// themselves by them.
func TestGroupFiles(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, `cd /sys/fs/cgroup; cat memory.max cpu.max pids.max cgroup.controllers; sleep 5 & test $(cat pids.current) = $(wc -l <cgroup.threads) && echo same; grep -c . cgroup.procs
test $(cat memory.current) -gt 4096 && echo used; grep -c usage_usec cpu.stat; cut -d' ' -f5,6,9- /proc/self/mountinfo | grep cgroup; grep ^0: /proc/self/cgroup; echo 1 >cgroup.procs`)
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
		b.spec.Mounts = append(b.spec.Mounts, mount("/sys/fs/cgroup", "cgroup2", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"))
		b.spec.Linux.Resources = &specs.LinuxResources{
			Memory: &specs.LinuxMemory{Limit: ptr(int64(128 << 20))}, Pids: &specs.LinuxPids{Limit: ptr(int64(40))},
			CPU: &specs.LinuxCPU{Quota: ptr(int64(50000)), Period: ptr(uint64(100000))},
		}
		want := "134217728\n50000 100000\n40\ncpuset cpu io memory pids\nsame\n3\nused\n1\n/sys/fs/cgroup ro,nosuid,nodev,noexec,relatime cgroup rw\n0::/\n"
		if got := rt.run(t, b); got.out != want || !strings.Contains(got.err, "Read-only file system") {
			t.Errorf("%s: want %q: %v", rt.name, want, got)
		}
	}
}
