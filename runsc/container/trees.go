package container

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/bundle"
	"casemate/runsc/control"
	"casemate/runsc/filestore"
	"casemate/runsc/hostmount"
	"casemate/runsc/sandbox"
)

// addTrees works out which trees of the host the container's gofer serves.
func (o *Options) addTrees(e *Env, args *sandbox.Args) error {
	spec := o.Spec
	boot := &args.Boot
	boot.BindTrees, boot.Shared = map[int]int{}, map[int]bool{}
	overlay, _ := e.Conf.Overlay(true, "")
	overlayAll, _ := e.Conf.Overlay(false, "")
	shared := e.Conf.FileAccess == "shared" || o.HostRoot
	args.Trees = []control.Tree{{Source: spec.Root.Path, Recursive: true, ReadOnly: spec.Root.Readonly || overlay, Shared: shared}}
	if shared {
		boot.Shared[0] = true
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if !bundle.IsBind(m) {
			continue
		}
		if _, err := os.Stat(m.Source); err != nil {
			return fmt.Errorf("%serror during container init: error mounting %q to rootfs at %q: %w", startFailed, m.Source, m.Destination, err)
		}
		tree := control.Tree{Source: m.Source, Shared: true, ReadOnly: overlayAll}
		for _, option := range m.Options {
			switch option {
			case "rbind":
				tree.Recursive = true
			case "ro":
				tree.ReadOnly = true
			}
		}
		boot.BindTrees[i] = len(args.Trees)
		boot.Shared[len(args.Trees)] = true
		args.Trees = append(args.Trees, tree)
	}
	if spec.Root.Readonly && !overlay {
		args.Trees[0].MountPoints = mountPoints(spec)
	}
	for i := range args.Trees {
		real, err := filepath.EvalSymlinks(args.Trees[i].Source)
		if err != nil {
			return err
		}
		args.Trees[i].Source = real
		m, err := hostmount.Of(real)
		if err != nil {
			return err
		}
		boot.Mounts = append(boot.Mounts, m)
		if err := addStore(e, args, i); err != nil {
			return err
		}
	}
	return nil
}

// mountPoints are where spec mounts something in the root file system itself. What is
// below another mount is the sandbox's affair.
func mountPoints(spec *specs.Spec) (points []control.MountPoint) {
	above := func(i int, name string) bool {
		for _, m := range spec.Mounts[:i] {
			if strings.HasPrefix(name, path.Clean("/"+m.Destination)+"/") {
				return true
			}
		}
		return false
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		name := path.Clean("/" + m.Destination)
		if above(i, name) {
			continue
		}
		info, err := os.Stat(m.Source)
		points = append(points, control.MountPoint{Path: name, File: bundle.IsBind(m) && err == nil && !info.IsDir()})
	}
	return points
}

// addStore makes the file store of tree i, if it has one. The tree of a bind mount that
// is one file has not: its overlay is in memory.
func addStore(e *Env, args *sandbox.Args, i int) error {
	source := args.Trees[i].Source
	overlay, dir := e.Conf.Overlay(i == 0, source)
	if !overlay || dir == "" {
		return nil
	}
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return err
	}
	f, err := filestore.Create(dir)
	if err != nil {
		return err
	}
	args.Boot.Stores = append(args.Boot.Stores, i)
	args.Stores = append(args.Stores, f)
	return nil
}

func closeStores(args *sandbox.Args) {
	for _, f := range args.Stores {
		f.Close()
	}
}
