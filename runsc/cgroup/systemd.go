package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	cgroups "github.com/containerd/cgroups/v3"
)

// errNoSystemd says that there is no systemd(1) to ask for a group.
var errNoSystemd = errors.New("systemd does not run on this host: --systemd-cgroup cannot be used")

// placeOfUnit is PlaceOf where systemd makes the groups: name is SLICE:PREFIX:NAME, which stands
// for the unit PREFIX-NAME.scope in SLICE, or empty.
func placeOfUnit(name, id string) (*Place, error) {
	if info, err := os.Stat("/run/systemd/system"); err != nil || !info.IsDir() {
		return nil, errNoSystemd
	}
	slice, unit, err := parseUnit(name, id, os.Geteuid() != 0)
	if err != nil {
		return nil, err
	}
	dirs, err := sliceDirs(slice)
	if err != nil {
		return nil, err
	}
	// systemd's root is where its own process is, but for the group init.scope.
	own, unified, err := cgroups.ParseCgroupFileUnified("/proc/1/cgroup")
	if err != nil {
		return nil, err
	}
	below := func(root string) string {
		return path.Join("/", clean(strings.TrimSuffix(root, "init.scope")), dirs, unit)
	}
	p := &Place{Paths: Paths{}, Slice: slice, Unit: unit}
	switch cgroups.Mode() {
	case cgroups.Unified:
		p.Paths[""] = below(unified)
		return p, nil
	case cgroups.Legacy, cgroups.Hybrid:
	default:
		return nil, ErrUnavailable
	}
	all, err := subsystems()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		controller := string(s.Name())
		root := own[controller]
		if root == "" {
			root = own["name="+controller]
		}
		p.Paths[controller] = below(root)
	}
	return p, nil
}

// parseUnit takes linux.cgroupsPath apart as runc does. An ordinary user's units are in
// user.slice, root's in system.slice, if the name gives none.
func parseUnit(name, id string, ordinary bool) (slice, unit string, err error) {
	prefix := "runsc"
	if name != "" {
		parts := strings.Split(name, ":")
		if len(parts) != 3 {
			return "", "", fmt.Errorf("expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got %q instead", name)
		}
		slice, prefix, id = parts[0], parts[1], parts[2]
	}
	if slice == "" {
		slice = "system.slice"
		if ordinary {
			slice = "user.slice"
		}
	}
	if strings.HasSuffix(id, ".slice") {
		return slice, id, nil
	}
	unit = prefix + "-" + id + ".scope"
	if strings.Contains(unit, "/") {
		return "", "", fmt.Errorf("invalid name of a unit: %q", unit)
	}
	return slice, unit, nil
}

// sliceDirs is where a slice's group is: a-b.slice is in a.slice (systemd.slice(5)).
func sliceDirs(slice string) (string, error) {
	name, ok := strings.CutSuffix(slice, ".slice")
	if !ok || name == "" || strings.Contains(name, "/") {
		return "", fmt.Errorf("invalid slice name: %q", slice)
	}
	if name == "-" {
		return "", nil
	}
	dirs, prefix := "", ""
	for part := range strings.SplitSeq(name, "-") {
		if part == "" {
			return "", fmt.Errorf("invalid slice name: %q", slice)
		}
		dirs = filepath.Join(dirs, prefix+part+".slice")
		prefix += part + "-"
	}
	return dirs, nil
}
