package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	cgroups "github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// place1 works out where a group is in each controller of version 1 that is mounted.
func place1(name string) (Paths, error) {
	all, err := subsystems()
	if err != nil {
		return nil, err
	}
	own := map[string]string{}
	if !path.IsAbs(name) {
		if own, _, err = cgroups.ParseCgroupFileUnified("/proc/self/cgroup"); err != nil {
			return nil, err
		}
	}
	paths := Paths{}
	for _, s := range all {
		controller := string(s.Name())
		paths[controller] = clean(name)
		parent := own[controller]
		if parent == "" {
			parent = own["name="+controller]
		}
		// In a container of another runtime the path may be one of the host's, which is
		// not to be seen here.
		if _, err := os.Stat(filepath.Join(mountPoint, controller, parent)); err == nil {
			paths[controller] = path.Join("/", parent, clean(name))
		}
	}
	return paths, nil
}

// subsystems are the controllers of version 1 that are mounted. There may be directories for
// others too: systemd makes them where it cannot mount.
func subsystems() ([]cgroup1.Subsystem, error) {
	all, err := cgroup1.Default()
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(s cgroup1.Subsystem) bool {
		_, err := os.Stat(filepath.Join(mountPoint, string(s.Name()), "cgroup.procs"))
		return err != nil
	}), nil
}

// create1 makes a group in each of these controllers.
func create1(paths Paths, r *specs.LinuxResources) (cgroup1.Cgroup, error) {
	g := &Group{place: Place{Paths: paths}}
	if err := requires(r, paths); err != nil {
		return nil, err
	}
	var made []string
	for controller := range paths {
		if _, err := os.Stat(g.dir(controller)); errors.Is(err, os.ErrNotExist) {
			made = append(made, g.dir(controller))
		}
	}
	group, err := cgroup1.New(paths.find, resources1(r), cgroup1.WithHierarchy(hierarchy(paths)))
	if err != nil {
		for _, dir := range made {
			os.Remove(dir) // what New has not made is not there
		}
		return nil, err
	}
	return group, nil
}

// hierarchy are the controllers in which paths has a group.
func hierarchy(paths Paths) cgroup1.Hierarchy {
	return func() ([]cgroup1.Subsystem, error) {
		all, err := subsystems()
		var found []cgroup1.Subsystem
		for _, s := range all {
			if _, ok := paths[string(s.Name())]; ok {
				found = append(found, s)
			}
		}
		return found, err
	}
}

// requires checks that there is a controller for each limit of r.
func requires(r *specs.LinuxResources, paths Paths) error {
	if r == nil {
		return nil
	}
	for _, need := range []struct {
		controller string
		asked      bool
	}{
		{"memory", r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0},
		{"cpu", r.CPU != nil && (r.CPU.Shares != nil || r.CPU.Quota != nil)},
		{"cpuset", r.CPU != nil && (r.CPU.Cpus != "" || r.CPU.Mems != "")},
		{"pids", r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0},
		{"blkio", blockIO(r.BlockIO) != nil},
	} {
		if _, ok := paths[need.controller]; need.asked && !ok {
			return fmt.Errorf("linux.resources asks for a limit of the controller %s, which the host does not have", need.controller)
		}
	}
	var keys []string
	for key := range r.Unified {
		keys = append(keys, key)
	}
	if len(keys) > 0 {
		return fmt.Errorf("linux.resources.unified has %s, but the host has cgroup version 1", strings.Join(keys, ", "))
	}
	return nil
}

// resources1 are the limits of r for the host's process. Devices are left out: nothing
// in a sandbox can open a device of the host. The limit of kernel memory is one that
// Linux does not have any more (runtime-spec, config-linux.md, "Memory").
func resources1(r *specs.LinuxResources) *specs.LinuxResources {
	if r == nil {
		return &specs.LinuxResources{}
	}
	host := *asked(r)
	host.Devices = nil
	host.Pids = hostPids(r.Pids)
	host.BlockIO = blockIO(r.BlockIO)
	if host.Memory != nil {
		//lint:ignore SA1019 configurations may still have it; kernels refuse it
		host.Memory.Kernel = nil
	}
	return &host
}
