package procfs

import (
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// A Type is proc as mount(2) knows it.
type Type struct {
	Kernel  *kernel.Kernel
	Options Options
	// PIDs is the namespace that a mount shows which no task makes; nil is the
	// sandbox's.
	PIDs *kernel.PIDNamespace
}

// Of returns a copy of t whose PIDs is pids.
func (t *Type) Of(pids *kernel.PIDNamespace) *Type {
	c := *t
	c.PIDs = pids
	return &c
}

// Name implements vfs.FSType.
func (*Type) Name() string { return "proc" }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType: an instance for the caller's pid namespace, or
// Type.PIDs if the caller is not a task. Options are hidepid, gid and subset (EINVAL).
func (t *Type) Mount(ctx *vfs.Context, source string, _ uint32, data string) (*vfs.Superblock, error) {
	hide, err := hiding{}.parse(data)
	if err != nil {
		return nil, err
	}
	pids := t.PIDs
	if pids == nil {
		pids = t.Kernel.RootNamespaces().PIDForChildren
	}
	if task, _ := ctx.Task.(*kernel.Task); task != nil {
		pids = task.PIDNamespace()
	}
	return &newFileSystem(t.Kernel.VFS(), t.Kernel, pids, source, t.Options, hide).Superblock, nil
}
