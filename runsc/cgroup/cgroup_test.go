package cgroup

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	cgroups "github.com/containerd/cgroups/v3"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

// needs skips a test that the host cannot run.
func needs(t *testing.T, modes ...cgroups.CGMode) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root may make cgroups")
	}
	if mode := cgroups.Mode(); !slices.Contains(modes, mode) {
		t.Skipf("the host's cgroups are of another version (%d)", mode)
	}
}

// sleeper starts a process that sleeps until it is killed.
func sleeper(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return cmd
}

func read(t *testing.T, dir, file string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

// live takes a group with one process through its life.
func live(t *testing.T, g *Group, dir string) {
	cmd := sleeper(t)
	pid := cmd.Process.Pid
	if err := g.Add(pid); err != nil {
		t.Fatal(err)
	}
	if got, err := g.Processes(); err != nil || !slices.Equal(got, []int{pid}) {
		t.Errorf("processes: %v, %v, want %d", got, err, pid)
	}
	if err := g.Freeze(); err != nil {
		t.Errorf("freezing: %v", err)
	}
	if err := g.Thaw(); err != nil {
		t.Errorf("thawing: %v", err)
	}
	if err := g.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); cmd.ProcessState == nil || cmd.ProcessState.Sys().(interface{ Signal() unix.Signal }).Signal() != unix.SIGKILL {
		t.Errorf("the process ended with %v", err)
	}
	for range 2 {
		if err := g.Delete(); err != nil {
			t.Errorf("deleting: %v", err)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the group is still there: %v", err)
	}
}

// TestRemoved has somebody make and remove groups below while the group's processes are looked for.
func TestRemoved(t *testing.T) {
	needs(t, cgroups.Legacy, cgroups.Hybrid, cgroups.Unified)
	place, err := PlaceOf(fmt.Sprintf("/casemate-removed-%d", os.Getpid()), "id", false)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Create(place, &specs.LinuxResources{})
	if err != nil {
		t.Fatal(err)
	}
	inner := filepath.Join(g.dir("pids"), "inner")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
			}
			for _, err := range []error{os.Mkdir(inner, 0o755), os.Remove(inner)} {
				if err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for range 300 {
		if _, err := g.Processes(); err != nil {
			t.Error(err)
			break
		}
	}
	close(stop)
	<-stopped
	if err := g.Delete(); err != nil {
		t.Error(err)
	}
}

func TestVersion1(t *testing.T) {
	needs(t, cgroups.Legacy, cgroups.Hybrid)
	name := fmt.Sprintf("/casemate-test-%d/inner", os.Getpid())
	r := &specs.LinuxResources{
		//lint:ignore SA1019 configurations may still have it
		Memory: &specs.LinuxMemory{Limit: ptr(int64(200 << 20)), Kernel: ptr(int64(1 << 20))},
		CPU:    &specs.LinuxCPU{Quota: ptr(int64(150000)), Period: ptr(uint64(100000)), Shares: ptr(uint64(512)), Cpus: "0"},
		Pids:   &specs.LinuxPids{Limit: ptr(int64(50))},
	}
	place, err := PlaceOf(name, "id", false)
	if err != nil {
		t.Fatal(err)
	}
	g, err := Create(place, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for c := range place.Paths {
			os.Remove(filepath.Dir(g.dir(c)))
		}
	})
	for file, want := range map[string]string{
		"memory/memory.limit_in_bytes": "209715200", "cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.shares": "512", "cpuset/cpuset.cpus": "0",
	} {
		controller, file, _ := strings.Cut(file, "/")
		if got := read(t, g.dir(controller), file); got != want {
			t.Errorf("%s is %s, want %s", file, got, want)
		}
	}
	if got, want := g.Limits(), (Limits{Memory: 200 << 20, CPUs: 1}); got != want {
		t.Errorf("limits: %+v, want %+v", got, want)
	}
	if err := g.Update(&specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(int64(300 << 20))}}); err != nil {
		t.Error(err)
	}
	if got := g.Limits().Memory; got != 300<<20 {
		t.Errorf("memory limit after an update: %d", got)
	}
	saved, err := json.Marshal(place)
	if err != nil {
		t.Fatal(err)
	}
	var again Place
	if err := json.Unmarshal(saved, &again); err != nil {
		t.Fatal(err)
	}
	loaded, err := Load(&again)
	if err != nil {
		t.Fatal(err)
	}
	live(t, loaded, g.dir("memory"))
	if gone, err := Load(place); err != nil {
		t.Error(err)
	} else if err := gone.Delete(); err != nil {
		t.Errorf("deleting what is gone: %v", err)
	}
}

// TestVersion1Failure checks that nothing stays of a group that could not be made.
func TestVersion1Failure(t *testing.T) {
	needs(t, cgroups.Legacy, cgroups.Hybrid)
	name := fmt.Sprintf("/casemate-test-%d", os.Getpid())
	place, err := PlaceOf(name, "id", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*specs.LinuxResources{
		{CPU: &specs.LinuxCPU{Cpus: "4000"}},
		{Unified: map[string]string{"memory.high": "1"}},
	} {
		if g, err := Create(place, r); err == nil {
			g.Delete()
			t.Errorf("no error for %+v", r)
		}
		left, _ := filepath.Glob(filepath.Join(mountPoint, "*", name))
		if len(left) > 0 {
			t.Errorf("%v are left", left)
		}
	}
}

// TestVersion2 uses the tree of version 2 that hybrid hosts have beside version 1.
func TestVersion2(t *testing.T) {
	needs(t, cgroups.Hybrid, cgroups.Unified)
	mount := mountPoint
	if cgroups.Mode() == cgroups.Hybrid {
		mount = filepath.Join(mountPoint, "unified")
	}
	name := fmt.Sprintf("/casemate-test-%d", os.Getpid())
	m, err := create2(mount, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	live(t, &Group{place: Place{Paths: Paths{"": name}}, v2: m}, filepath.Join(mount, name))
}

// TestUnified takes a group through its life where there is version 2 alone. Limits are set
// only of the controllers that version 2 has there.
func TestUnified(t *testing.T) {
	needs(t, cgroups.Unified)
	place, err := PlaceOf(fmt.Sprintf("/casemate-test-%d/inner", os.Getpid()), "id", false)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(mountPoint, place.Paths[""])
	t.Cleanup(func() { os.Remove(filepath.Dir(dir)) })
	available := strings.Fields(read(t, mountPoint, "cgroup.controllers"))
	r := &specs.LinuxResources{}
	want := Limits{}
	if slices.Contains(available, "memory") {
		r.Memory = &specs.LinuxMemory{Limit: ptr(int64(200 << 20))}
		want.Memory = 200 << 20
	}
	if slices.Contains(available, "cpu") {
		r.CPU = &specs.LinuxCPU{Quota: ptr(int64(90000)), Period: ptr(uint64(100000))}
		want.CPUs = 1
	}
	if _, err := Create(place, r); err != nil {
		t.Fatal(err)
	}
	g, err := Load(place)
	if err != nil {
		t.Fatal(err)
	}
	if got := g.Limits(); got.Memory != want.Memory || want.CPUs != 0 && got.CPUs != want.CPUs {
		t.Errorf("limits: %+v, want %+v", got, want)
	}
	if err := g.Update(&specs.LinuxResources{Unified: map[string]string{"cgroup.max.depth": "7"}}); err != nil {
		t.Error(err)
	}
	if got := read(t, dir, "cgroup.max.depth"); got != "7" {
		t.Errorf("cgroup.max.depth is %s", got)
	}
	if _, err := g.Stats(); err != nil {
		t.Error(err)
	}
	view, err := View(place.Paths, false)
	if err != nil || len(view) == 0 || view[len(view)-1].Path != place.Paths[""] {
		t.Errorf("view: %+v, %v", view, err)
	}
	live(t, g, dir)
	// It is clear what is missing if a limit needs a controller that is not there.
	for controller, r := range map[string]*specs.LinuxResources{
		"memory": {Memory: &specs.LinuxMemory{Limit: ptr(int64(200 << 20))}},
		"pids":   {Pids: &specs.LinuxPids{Limit: ptr(int64(50))}},
	} {
		g, err := Create(place, r)
		if has := slices.Contains(available, controller); has != (err == nil) {
			t.Errorf("a limit of %s: %v, which the host has: %v", controller, err, has)
		} else if has {
			err = g.Delete()
		}
		if _, serr := os.Stat(dir); !errors.Is(serr, os.ErrNotExist) {
			t.Errorf("%s: the group is still there: %v", controller, err)
		}
	}
}

// TestUnifiedAlone runs the tests of version 2 in a mount namespace in which version 1 is not
// mounted.
func TestUnifiedAlone(t *testing.T) {
	needs(t, cgroups.Hybrid)
	const script = `mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec "$@"`
	out, err := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
		os.Args[0], "-test.v", "-test.run", "^TestUnified$|^TestVersion2$").CombinedOutput()
	if err != nil || strings.Count(string(out), "--- PASS") != 2 {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestResourcesOfVersion2(t *testing.T) {
	to := resources2(&specs.LinuxResources{
		Memory:  &specs.LinuxMemory{Limit: ptr(int64(100)), Swap: ptr(int64(150)), Reservation: ptr(int64(-1))},
		CPU:     &specs.LinuxCPU{Quota: ptr(int64(50000)), Shares: ptr(uint64(1024))},
		Pids:    &specs.LinuxPids{Limit: ptr(int64(10))},
		Devices: []specs.LinuxDeviceCgroup{{Allow: false}},
	})
	if to.CPU.Max != "50000 100000" || *to.CPU.Weight != 100 {
		t.Errorf("CPU %+v", to.CPU)
	}
	if *to.Memory.Max != 100 || *to.Memory.Swap != 50 || *to.Memory.Low <= 1<<62 {
		t.Errorf("memory %+v", to.Memory)
	}
	if to.Pids.Max != 10*tasksPerTask+ownTasks || to.Devices != nil {
		t.Errorf("pids %+v, devices %+v", to.Pids, to.Devices)
	}
	if got := resources2(&specs.LinuxResources{CPU: &specs.LinuxCPU{Quota: ptr(int64(-1))}}); got.CPU.Max != "max 100000" {
		t.Errorf("no quota: %q", got.CPU.Max)
	}
}

func TestCountCPUs(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]int{"0-3,6\n": 5, "0": 1, "": 0, "\n": 0, "2-1": 0} {
		if err := os.WriteFile(filepath.Join(dir, "cpus"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := countCPUs(dir, "cpus"); got != want {
			t.Errorf("%q: %d CPUs, want %d", text, got, want)
		}
	}
}
