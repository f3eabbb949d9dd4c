package cgroup

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"casemate/runsc/hostmount"
	"casemate/sentry/kernel"
)

// View returns the host's hierarchies as a process sees them whose group is at paths: with
// its own group as the root of all if private is set, which is what a cgroup namespace does
// (cgroup_namespaces(7)). paths may be empty: there is no group of the process's own, and
// nothing is told of the caller's.
func View(paths Paths, private bool) ([]kernel.Hierarchy, error) {
	where := Paths{}
	if !private {
		where = paths
	}
	data, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, fmt.Errorf("reading the host's cgroup hierarchies: %w", err)
	}
	mounts, err := mounted()
	if err != nil {
		return nil, err
	}
	var list []kernel.Hierarchy
	for line := range strings.Lines(string(data)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, _, ok := strings.Cut(rest, ":")
		n, err := strconv.Atoi(id)
		if err != nil || !ok {
			return nil, fmt.Errorf("/proc/self/cgroup has the line %q", line)
		}
		h := kernel.Hierarchy{ID: n, Controllers: controllers, Path: where.in(controllers)}
		if n != 0 {
			h.Dir = mounts[h.Controllers]
		}
		list = append(list, h)
	}
	if len(list) == 0 { // the host's kernel has no control groups
		list = []kernel.Hierarchy{{Path: "/"}}
	}
	return list, nil
}

// in returns where the group is in a hierarchy with these controllers: if it is not in that
// one, where it is in the others.
func (p Paths) in(controllers string) string {
	for c := range strings.SplitSeq(controllers, ",") {
		if name, ok := p[strings.TrimPrefix(c, "name=")]; ok {
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Values(p)) {
		return name
	}
	return "/"
}

// mounted returns the directories of /sys/fs/cgroup on which hierarchies of version 1 are
// mounted, by their controllers as /proc/PID/cgroup writes them.
func mounted() (map[string]string, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("reading the host's mounts: %w", err)
	}
	defer f.Close()
	found := map[string]string{}
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		point, m, ok := hostmount.Parse(s.Text())
		if !ok || m.Type != "cgroup" || filepath.Dir(point) != mountPoint {
			continue
		}
		var controllers []string
		for _, o := range strings.Split(m.Super, ",") {
			if isController(o) {
				controllers = append(controllers, o)
			}
		}
		found[strings.Join(controllers, ",")] = filepath.Base(point)
	}
	return found, s.Err()
}

// isController reports whether an option of a hierarchy of version 1 is no other one than a
// controller or a name (cgroups(7), "Mounting v1 controllers").
func isController(option string) bool {
	switch option {
	case "rw", "ro", "none", "xattr", "clone_children", "noprefix", "cpuset_v2_mode", "favordynmods", "nofavordynmods":
		return false
	}
	return !strings.HasPrefix(option, "release_agent=")
}
