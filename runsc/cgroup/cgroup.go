// Package cgroup keeps a sandbox, which is its sentry, its gofer and their stubs, in a
// control group of the host: version 1 (cgroups(7)), version 2, or both beside each
// other (hybrid: the controllers of version 1 are used).
package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cgroups "github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// ErrUnavailable says that the host has no control groups mounted.
var ErrUnavailable = errors.New("no cgroup file system is mounted on /sys/fs/cgroup")

// mountPoint is where version 2 is mounted, and the controllers of version 1 below.
const mountPoint = "/sys/fs/cgroup"

// A Group is the control group of one sandbox. Its methods may be called from any
// process that may write the host's cgroup file system; they are not safe for
// concurrent use.
type Group struct {
	place Place
	v1    cgroup1.Cgroup
	v2    *cgroup2.Manager
	// waits says that the group is made, with the limits of asked, when its first process is
	// added: systemd makes none without a process.
	waits bool
	asked *specs.LinuxResources
}

// A Place is where a group is, and whether systemd makes it. It can be saved as JSON.
type Place struct {
	Paths Paths `json:"paths"`
	// Unit is systemd's name of the group, in Slice; "" if it is not systemd's.
	Unit  string `json:"unit,omitempty"`
	Slice string `json:"slice,omitempty"`
}

// Paths say where a Group is, by controller and below the controller's mount; the one
// path of version 2 is that of the controller "".
type Paths map[string]string

// PlaceOf returns where linux.cgroupsPath of the spec, which is name, has the group of the
// container id (runtime-spec, config-linux.md, "Control groups"). An absolute name is one
// below the controllers' mounts, any other is below the caller's own group; an empty one
// stands for id. With systemd, which makes the group then, it is SLICE:PREFIX:NAME.
// ErrUnavailable.
func PlaceOf(name, id string, systemd bool) (*Place, error) {
	if systemd {
		return placeOfUnit(name, id)
	}
	if strings.Count(name, ":") == 2 && !strings.Contains(name, "/") {
		return nil, fmt.Errorf("cgroupsPath %q is one for systemd: that needs --systemd-cgroup", name)
	}
	if name == "" {
		name = id
	}
	var paths Paths
	var err error
	switch cgroups.Mode() {
	case cgroups.Unified:
		paths, err = place2(name)
	case cgroups.Legacy, cgroups.Hybrid:
		paths, err = place1(name)
	default:
		err = ErrUnavailable
	}
	if err != nil {
		return nil, err
	}
	return &Place{Paths: paths}, nil
}

// Create makes the group at p, which PlaceOf has returned, with the limits of r, the
// spec's linux.resources; one of systemd is made when a process is added. A group that is
// there already is taken over. r may be nil.
func Create(p *Place, r *specs.LinuxResources) (*Group, error) {
	g := &Group{place: *p, waits: p.Unit != "", asked: r}
	if g.waits {
		return g, nil
	}
	return g, g.make(r)
}

// make makes the group's directories.
func (g *Group) make(r *specs.LinuxResources) (err error) {
	if name, ok := g.place.Paths[""]; ok {
		g.v2, err = create2(mountPoint, name, r)
	} else {
		g.v1, err = create1(g.place.Paths, r)
	}
	if err != nil {
		return fmt.Errorf("creating the cgroup %s: %w", g.place.Paths, err)
	}
	return nil
}

// Load returns the group at p, which Create has made. It need not be there any
// more.
func Load(p *Place) (*Group, error) {
	g := &Group{place: *p}
	paths := p.Paths
	if name, ok := paths[""]; ok {
		var err error
		if g.v2, err = cgroup2.Load(name, cgroup2.WithMountpoint(mountPoint)); err != nil {
			return nil, fmt.Errorf("cgroup %s: %w", name, err)
		}
		return g, nil
	}
	v1, err := cgroup1.Load(paths.find, cgroup1.WithHierarchy(hierarchy(paths)))
	if err != nil && !errors.Is(err, cgroup1.ErrCgroupDeleted) {
		return nil, fmt.Errorf("loading the cgroup: %w", err)
	}
	g.v1 = v1
	return g, nil
}

// Add moves the process with all its threads into the group. What it starts is in it
// too.
func (g *Group) Add(pid int) error {
	var err error
	if g.waits {
		if err := g.place.startUnit(pid, g.asked); err != nil {
			return err
		}
		if err := g.make(g.asked); err != nil {
			return errors.Join(err, g.place.stopUnit())
		}
		g.waits = false
	}
	if g.v2 != nil {
		err = g.v2.AddProc(uint64(pid))
	} else if err = g.v1.AddProc(uint64(pid)); err == nil && g.place.Unit != "" {
		err = g.addTracked(pid)
	}
	if err != nil {
		return fmt.Errorf("moving process %d into the cgroup: %w", pid, err)
	}
	return nil
}

// addTracked moves the process into the unit's group of the hierarchy of version 2 by which
// systemd knows the processes of its units on a hybrid host.
func (g *Group) addTracked(pid int) error {
	file := filepath.Join(mountPoint, "unified", g.place.Paths["systemd"], "cgroup.procs")
	err := os.WriteFile(file, fmt.Append(nil, pid), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Update sets the limits of r; those that it does not name stay as they are.
func (g *Group) Update(r *specs.LinuxResources) error {
	if g.place.Unit != "" {
		if err := g.place.setUnit(r); err != nil {
			return err
		}
	}
	if g.v2 != nil {
		return update2(g.v2, g.dir(""), r)
	}
	if g.v1 == nil {
		return cgroup1.ErrCgroupDeleted
	}
	return g.v1.Update(resources1(r))
}

// Processes returns the host's ids of all processes in the group and below.
func (g *Group) Processes() ([]int, error) {
	seen := map[int]bool{}
	if g.v2 != nil {
		pids, err := g.v2.Procs(true)
		for _, pid := range pids {
			seen[int(pid)] = true
		}
		if err != nil && !isGone(err) {
			return nil, err
		}
	} else if g.v1 != nil {
		for _, s := range g.v1.Subsystems() {
			procs, err := g.v1.Processes(s.Name(), true)
			if err != nil && !isGone(err) {
				return nil, err
			}
			for _, p := range procs {
				seen[p.Pid] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(seen)), nil
}

// Kill kills all processes in the group with SIGKILL. It does not wait for them.
func (g *Group) Kill() error {
	pids, err := g.Processes()
	for _, pid := range pids {
		if kerr := unix.Kill(pid, unix.SIGKILL); kerr != nil && kerr != unix.ESRCH {
			err = errors.Join(err, fmt.Errorf("killing process %d: %w", pid, kerr))
		}
	}
	return err
}

// emptying is how long Delete waits for the last processes to go.
const emptying = 2 * time.Second

// Delete removes the group, which may be gone already. Processes that were killed take
// a moment to leave it: Delete waits for them, up to two seconds.
func (g *Group) Delete() error {
	for deadline := time.Now().Add(emptying); ; time.Sleep(5 * time.Millisecond) {
		pids, err := g.Processes()
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("removing the cgroup: processes %v are still in it", pids)
		}
	}
	if g.place.Unit != "" {
		if err := g.place.stopUnit(); err != nil {
			return err
		}
	}
	var err error
	if g.v2 != nil {
		err = g.v2.Delete()
	} else if g.v1 != nil {
		err = g.v1.Delete()
	}
	if isGone(err) {
		return nil
	}
	return err
}

// isGone says that err is of a group that somebody has removed: before its file was opened, or
// after that (ENODEV).
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, cgroup1.ErrCgroupDeleted)
}

// dir is the host's directory of the group for a controller, or "" if the group has
// none there.
func (g *Group) dir(controller string) string {
	if g.v2 != nil {
		return filepath.Join(mountPoint, g.place.Paths[""])
	}
	name, ok := g.place.Paths[controller]
	if !ok {
		return ""
	}
	return filepath.Join(mountPoint, controller, name)
}

// String shows the distinct paths.
func (p Paths) String() string {
	return strings.Join(slices.Compact(slices.Sorted(maps.Values(p))), ", ")
}

// find implements cgroup1.Path.
func (p Paths) find(name cgroup1.Name) (string, error) {
	if found, ok := p[string(name)]; ok {
		return found, nil
	}
	return "", cgroup1.ErrControllerNotActive
}

// clean makes a group's name one that does not lead out of the mount.
func clean(name string) string { return path.Clean("/" + name) }
