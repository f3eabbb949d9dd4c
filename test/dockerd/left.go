package dockerd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ending is how long what belongs to removed containers may take to go.
const ending = 20 * time.Second

// leftByContainers says what is left of containers that have been removed.
func (d *Daemon) leftByContainers() []error {
	return settle(func() (left []error) {
		for _, m := range d.mounts() {
			if strings.HasSuffix(m, "/merged") || strings.Contains(m, "/containers/") {
				left = append(left, fmt.Errorf("mount left: %s", m))
			}
		}
		states, _ := filepath.Glob(d.Dir + "/exec/runtime-*/moby/*")
		for _, s := range states {
			left = append(left, fmt.Errorf("state left: %s", s))
		}
		return append(left, d.processes("containerd-shim", "runsc")...)
	})
}

// leftByDaemon says what is left when the daemon has ended, and removes the control groups.
func (d *Daemon) leftByDaemon() []error {
	left := settle(func() []error { return d.processes("") })
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + d.cgroup)
	own, _ := filepath.Glob("/sys/fs/cgroup/" + d.cgroup)
	for _, g := range append(groups, own...) {
		if below, _ := filepath.Glob(g + "/*/cgroup.procs"); len(below) > 0 {
			left = append(left, fmt.Errorf("control groups left: %s", below))
		}
		if err := os.Remove(g); err != nil {
			left = append(left, err)
		}
	}
	return left
}

// settle repeats check until nothing is left, or for some time.
func settle(check func() []error) []error {
	for deadline := time.Now().Add(ending); ; time.Sleep(50 * time.Millisecond) {
		left := check()
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}

// mounts are those below the daemon's directory.
func (d *Daemon) mounts() (mounts []string) {
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); strings.HasPrefix(f[1], d.Dir+"/") {
			mounts = append(mounts, f[1])
		}
	}
	return mounts
}

// processes are those that belong to the daemon: their command, which begins with one of names,
// or their control group says so.
func (d *Daemon) processes(names ...string) (left []error) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		dir := "/proc/" + e.Name()
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		group, _ := os.ReadFile(dir + "/cgroup")
		mine := bytes.Contains(group, []byte("/"+d.cgroup+"/"))
		for _, name := range names {
			program, _, _ := bytes.Cut(cmdline, []byte{0})
			mine = mine || strings.HasPrefix(filepath.Base(string(program)), name) && bytes.Contains(cmdline, []byte(d.Dir+"/"))
		}
		if mine {
			left = append(left, fmt.Errorf("process left: %d: %s", pid, bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '})))
		}
	}
	return left
}
