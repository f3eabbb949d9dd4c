package cgroup

import (
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"

	cgroups "github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// place2 works out where a group is in the tree of version 2.
func place2(name string) (Paths, error) {
	if !path.IsAbs(name) {
		_, own, err := cgroups.ParseCgroupFileUnified("/proc/self/cgroup")
		if err != nil {
			return nil, err
		}
		// The caller's own group has processes, so that it cannot hand controllers on:
		// the parent can (cgroups(7), "no internal processes").
		name = path.Join(path.Dir(path.Join("/", own)), clean(name))
	}
	return Paths{"": clean(name)}, nil
}

// create2 makes a group in the tree of version 2 that is mounted on mount.
func create2(mount, name string, r *specs.LinuxResources) (*cgroup2.Manager, error) {
	_, err := os.Stat(filepath.Join(mount, name))
	made := os.IsNotExist(err)
	m, err := cgroup2.NewManager(mount, name, &cgroup2.Resources{})
	if err != nil {
		return nil, err
	}
	controllers, err := m.RootControllers()
	if err == nil {
		// Those that cannot be had are missed only if a limit needs them.
		for _, c := range controllers {
			m.ToggleControllers([]string{c}, cgroup2.Enable)
		}
		err = update2(m, filepath.Join(mount, name), r)
	}
	if err != nil {
		if made {
			m.Delete()
		}
		return nil, err
	}
	return m, nil
}

// update2 sets the limits of r.
func update2(m *cgroup2.Manager, dir string, r *specs.LinuxResources) error {
	if r == nil {
		return nil
	}
	if err := m.Update(resources2(r)); err != nil {
		return err
	}
	for file, value := range r.Unified {
		if strings.Contains(file, "/") {
			return fmt.Errorf("linux.resources.unified: %q is not the name of a file", file)
		}
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			return fmt.Errorf("linux.resources.unified: %w", err)
		}
	}
	return nil
}

// resources2 are the limits of r in version 2's terms, without those that do not
// concern the host (see resources1). In r, -1 stands for no limit.
func resources2(r *specs.LinuxResources) *cgroup2.Resources {
	r = asked(r)
	host := *r
	host.Pids = hostPids(r.Pids)
	host.BlockIO = blockIO(r.BlockIO)
	if c := r.CPU; c != nil && (c.Quota != nil || c.Period != nil) {
		cpu := *c
		if c.Quota != nil && *c.Quota < 0 {
			cpu.Quota = nil
		}
		if c.Period == nil {
			period := uint64(defaultPeriod)
			cpu.Period = &period
		}
		host.CPU = &cpu
	}
	to := cgroup2.ToResources(&host)
	to.Devices = nil
	if m := r.Memory; m != nil {
		to.Memory.Max = noLimit(m.Limit)
		to.Memory.Low = noLimit(m.Reservation)
		if m.Swap != nil && *m.Swap < 0 {
			to.Memory.Swap = noLimit(m.Swap)
		}
	}
	return to
}

func noLimit(v *int64) *int64 {
	if v == nil || *v >= 0 {
		return v
	}
	most := int64(math.MaxInt64)
	return &most
}
