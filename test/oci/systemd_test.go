package oci

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"casemate/test/bundle"
)

// bootSystemd boots a systemd of the test's own, which ends with it, and returns its process.
func bootSystemd(t *testing.T) (pid int) {
	t.Helper()
	group := fmt.Sprintf("casemate-oci-systemd-%d", os.Getpid())
	dir, err := os.MkdirTemp("", "runsc-systemd")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "sh", "testdata/systemd.sh", dir, group)
	log := new(strings.Builder)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.WaitDelay = 10 * time.Second
	must(t, cmd.Start())
	t.Cleanup(func() {
		cancel() // unshare's end is systemd's
		cmd.Wait()
		if t.Failed() {
			t.Logf("systemd said:\n%s", log)
		}
		must(t, os.Remove(dir))
		removeGroups(t, group)
	})
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		// unshare's only child is process 1 of the namespace.
		data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", cmd.Process.Pid))
		pid, err = strconv.Atoi(strings.TrimSpace(string(data)))
		if err == nil && exec.Command("nsenter", inside(pid, "systemctl", "show", "--property=Version")...).Run() == nil {
			return pid
		}
		if time.Now().After(deadline) {
			t.Fatal("systemd does not come up")
		}
	}
}

// inside are nsenter's arguments that run a command where the process is.
func inside(pid int, command ...string) []string {
	return append([]string{"--target", strconv.Itoa(pid), "--all", "--root", "--wd"}, command...)
}

// removeGroups removes the control groups of that name with all below, which are empty as soon
// as the processes are gone that were in them.
func removeGroups(t *testing.T, name string) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := cgroups(t, name)
		for _, dir := range left {
			var dirs []string
			filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					dirs = append(dirs, path)
				}
				return nil
			})
			for i := len(dirs) - 1; i >= 0; i-- {
				os.Remove(dirs[i])
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("control groups are left: %v", left)
		}
	}
}

// systemdCases say the same with runc and with runsc where systemd makes the groups.
var systemdCases = []struct{ name, path, script string }{
	{"limits", "casemate-oci.slice:pod:NAME", `run $N script; show pod-$N.scope; grep -h . /sys/fs/cgroup/memory/casemate.slice/casemate-oci.slice/pod-$N.scope/memory.limit_in_bytes; groups $N
		rt update --memory 150000000 --cpu-quota 30000 --cpu-share 300 $N; show pod-$N.scope; grep -h . /sys/fs/cgroup/memory/casemate.slice/casemate-oci.slice/pod-$N.scope/memory.limit_in_bytes
		rt pause $N; status $N; rt resume $N; systemctl daemon-reload; grep -h . /sys/fs/cgroup/memory/casemate.slice/casemate-oci.slice/pod-$N.scope/memory.limit_in_bytes
		rt delete --force $N; gone pod-$N.scope`},
	{"default slice", ":pre:NAME", `run $N script; show pre-$N.scope; groups $N; rt kill $N KILL; becomes stopped $N; rt delete $N; gone pre-$N.scope`},
	{"no prefix", "a-b-c.slice::NAME", `run $N script; show -- -$N.scope; groups $N; rt exec $N true; echo $?; rt delete --force $N; gone -- -$N.scope`},
	{"same name again", "a.slice::NAME", `for i in 1 2 3; do rt run --bundle script $N-$i </dev/null & wait; show $N.scope; done`},
	{"path of another form", "/some/path", `rt create --bundle script $N 2>&1 | grep -o 'expected cgroupsPath.* instead' | tr -d '\\'; rt list -q`},
	{"invalid slice", "a--b.slice:x:NAME", `rt create --bundle script $N >/dev/null 2>&1 || echo refused; rt list -q`},
}

func TestSystemd(t *testing.T) {
	pid := 0
	places := map[string]*place{}
	paths := map[string]string{"runc": "/usr/sbin/runc", "runsc": runscPath(t)}
	for name := range paths {
		// Made before systemd's own view of the host's files.
		p := newPlace(t)
		for i, c := range systemdCases {
			program := "exec sleep 1000"
			if c.name == "same name again" {
				program = "true"
			}
			p.bundle(t, strconv.Itoa(i)+"/script", program, func(s bundle.Object) {
				withLimits(p, s)
				s["linux"].(bundle.Object)["cgroupsPath"] = strings.ReplaceAll(c.path, "NAME", p.id(name))
			})
		}
		places[name] = p
	}
	pid = bootSystemd(t)
	for i, c := range systemdCases {
		t.Run(c.name, func(t *testing.T) {
			said := func(name string) string {
				p := *places[name]
				p.enter = append([]string{"nsenter"}, inside(pid)...)
				p.options = "--systemd-cgroup"
				return p.script(t, name, paths[name], fmt.Sprintf("cd %d\n", i)+systemdPrelude+strings.ReplaceAll(c.script, "run $N script", fmt.Sprintf("run $N %d/script", i)))
			}
			want := said("runc")
			if got := said("runsc"); got != want {
				t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
			}
		})
	}
}

// systemdPrelude has what the scripts of systemdCases use: show UNIT, which shows what systemd
// says of a unit; gone UNIT, which waits for its end; groups NAME, which shows in which groups a
// container's process is, but for devices, of which runsc asks nothing.
const systemdPrelude = `show() { systemctl show --property=ActiveState,SubState,Slice,ControlGroup,Delegate,MemoryLimit,MemoryMax,CPUShares,CPUWeight,CPUQuotaPerSecUSec "$@"; }
gone() { [ "$1" != -- ] || shift; stopped() { ! test "$(systemctl show --property=ActiveState --value -- $1)" = active; }; eventually stopped $1; ls -d /sys/fs/cgroup/*/*.slice/*$1 /sys/fs/cgroup/*/*/*/*$1 2>/dev/null; systemctl show --property=ActiveState -- $1; }
groups() { pid=$(rt state $1 | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'); grep -v :devices: /proc/$pid/cgroup; }
`

// TestNoSystemd asks for systemd's groups where there is none.
func TestNoSystemd(t *testing.T) {
	if _, err := os.Stat("/run/systemd/system"); !errors.Is(err, os.ErrNotExist) {
		t.Skip("systemd runs here")
	}
	p := newPlace(t)
	p.options = "--systemd-cgroup"
	p.bundle(t, "script", "true", nil)
	p.expect(t, `rt create --bundle script $N 2>&1 | sed 's/ (.*//'; ls state`, "RUNTIME create failed: systemd does not run on this host: --systemd-cgroup cannot be used\n")
}
