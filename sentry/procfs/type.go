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
	// Net is the namespace whose parameters those see who are no tasks; nil is the sandbox's.
	Net *kernel.NetNamespace
}

// Of returns a copy of t whose PIDs and Net are those of n.
func (t *Type) Of(n *kernel.Namespaces) *Type {
	c := *t
	c.PIDs, c.Net = n.PIDForChildren, n.Net
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
	net := t.Net
	if net == nil {
		net = t.Kernel.RootNamespaces().Net
	}
	return &newFileSystem(t.Kernel.VFS(), t.Kernel, pids, net, source, t.Options, hide).Superblock, nil
}
