// Package cgroupfs is the control group of a container as file systems: that of version 2,
// and one for each hierarchy of version 1 (cgroups(7), the kernel's cgroup-v2.rst and
// cgroup-v1). A container sees just the group that it is in, with its limits and what it uses
// of them at the moment. Nothing in it can be changed.
package cgroupfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/textfs"
	"casemate/vfs"
)

// A Type is cgroup2 as mount(2) knows it, or cgroup, which is version 1.
type Type struct {
	TypeName string
	Kernel   *kernel.Kernel
	// Group is what an instance shows; nil: the group of who mounts it.
	Group *kernel.Cgroup
}

// Name implements vfs.FSType.
func (t *Type) Name() string { return t.TypeName }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return 0 }

// Mount implements vfs.FSType. The options of version 1 name the controllers of a hierarchy;
// those of version 2, which are of the whole hierarchy, are ignored. EINVAL if there is no
// such hierarchy.
func (t *Type) Mount(ctx *vfs.Context, source string, _ uint32, data string) (*vfs.Superblock, error) {
	g := t.Group
	if g == nil {
		g = t.Kernel.RootCgroup()
		if task, ok := ctx.Task.(*kernel.Task); ok {
			g = task.ThreadGroup().Cgroup()
		}
	}
	i := slices.IndexFunc(g.Hierarchies(), func(h kernel.Hierarchy) bool {
		return (t.TypeName == "cgroup2") == (h.ID == 0) && (h.ID == 0 || sameNames(h.Controllers, data))
	})
	if i < 0 {
		return nil, unix.EINVAL
	}
	h := &g.Hierarchies()[i]
	v := view{kernel: t.Kernel, group: g}
	if h.ID == 0 {
		sb := textfs.New(t.Kernel.VFS(), "cgroup2", unix.CGROUP2_SUPER_MAGIC, source, v.unified)
		sb.RootPath = h.Path
		return sb, nil
	}
	controllers := strings.Split(h.Controllers, ",")
	sb := textfs.New(t.Kernel.VFS(), "cgroup", unix.CGROUP_SUPER_MAGIC, source, func() []textfs.Entry { return v.legacy(controllers) })
	sb.RootPath = h.Path
	sb.ShowOptions = func() string { return "rw," + h.Controllers }
	return sb, nil
}

// sameNames reports whether two lists have the same elements.
func sameNames(a, b string) bool {
	x, y := strings.Split(a, ","), strings.Split(b, ",")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

// A view makes the files of a group.
type view struct {
	kernel *kernel.Kernel
	group  *kernel.Cgroup
}

// file is a file whose text, but for the end of its last line, is made when it is read.
func file(name string, text func() string) textfs.Entry {
	return textfs.Entry{Name: name, Mode: 0o444, Text: func(*vfs.Context) (string, error) { return text() + "\n", nil }}
}

// number is a file that holds a number.
func number[T int64 | uint64](name string, value func() T) textfs.Entry {
	return file(name, func() string { return fmt.Sprint(value()) })
}

// cpuList is the list of the CPUs that the group has, in the format of cpuset(7).
func (v view) cpuList() string {
	if n := v.kernel.CPUs(); n > 1 {
		return "0-" + strconv.Itoa(n-1)
	}
	return "0"
}

// period is that of the CPU quota, in µs.
func period(l *kernel.CgroupLimits) uint64 {
	const usual = 100000
	if l.CPUPeriod == 0 {
		return usual
	}
	return l.CPUPeriod
}

// now returns how many tasks there are.
func (v view) tasksNow() int64 {
	now, _, _ := v.group.Tasks()
	return now
}

func (v view) tasksMost() int64 {
	_, most, _ := v.group.Tasks()
	return most
}

func (v view) tasksRefused() int64 {
	_, _, refused := v.group.Tasks()
	return refused
}

// processes is a file with the numbers of the group's processes, or of their tasks, as who
// reads it sees them.
func (v view) processes(name string, tasks bool) textfs.Entry {
	return textfs.Entry{Name: name, Mode: 0o444, Text: func(ctx *vfs.Context) (string, error) {
		pids := v.kernel.RootNamespaces().PIDForChildren
		if t, ok := ctx.Task.(*kernel.Task); ok {
			pids = t.PIDNamespace()
		}
		var ids []int32
		for _, tg := range v.group.ThreadGroups() {
			if !tasks {
				ids = append(ids, tg.ID(pids))
				continue
			}
			for _, t := range tg.Tasks() {
				ids = append(ids, t.TIDIn(pids))
			}
		}
		slices.Sort(ids)
		var b strings.Builder
		for _, id := range ids {
			fmt.Fprintln(&b, id)
		}
		return b.String(), nil
	}}
}
