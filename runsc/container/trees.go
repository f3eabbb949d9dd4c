package container

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"casemate/runsc/bundle"
	"casemate/runsc/control"
	"casemate/runsc/hostmount"
	"casemate/runsc/sandbox"
)

// addTrees works out which trees of the host the container's gofer serves.
func (o *Options) addTrees(e *Env, args *sandbox.Args) error {
	spec := o.Spec
	boot := &args.Boot
	boot.BindTrees, boot.Shared = map[int]int{}, map[int]bool{}
	overlay := e.Conf.Overlay2 != "none"
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
		tree := control.Tree{Source: m.Source, Shared: true, ReadOnly: strings.HasPrefix(e.Conf.Overlay2, "all:")}
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
	}
	return nil
}
