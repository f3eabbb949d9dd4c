// Package cgroupfs is /sys/fs/cgroup of a container: the one group that it is in, with
// its limits and what it uses of them, as cgroup version 2 shows a group that is the
// root of a cgroup namespace (cgroups(7), the kernel's cgroup-v2.rst). Nothing in it
// can be changed.
package cgroupfs

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/textfs"
	"casemate/vfs"
)

// Limits are those of the group; 0 for none.
type Limits struct {
	Memory              uint64 // bytes
	CPUQuota, CPUPeriod uint64 // µs
	Tasks               int64
}

// A Type is cgroup2 as mount(2) knows it, or cgroup, which gives the same here.
type Type struct {
	TypeName string
	Kernel   *kernel.Kernel
	Limits   Limits
}

// Name implements vfs.FSType.
func (t *Type) Name() string { return t.TypeName }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return 0 }

// Mount implements vfs.FSType. Options, which are those of the whole hierarchy, are
// ignored.
func (t *Type) Mount(_ *vfs.Context, source string, _ uint32, _ string) (*vfs.Superblock, error) {
	return textfs.New(t.Kernel.VFS(), "cgroup2", unix.CGROUP2_SUPER_MAGIC, source, t.entries), nil
}

// limit is a limit as its file has it.
func limit(n uint64) string {
	if n == 0 {
		return "max"
	}
	return strconv.FormatUint(n, 10)
}

func (t *Type) entries() []textfs.Entry {
	k := t.Kernel
	show := func(name string, text func() string) textfs.Entry {
		return textfs.Entry{Name: name, Mode: 0o444, Text: func(*vfs.Context) (string, error) { return text() + "\n", nil }}
	}
	memory := func() string {
		used, _ := k.MemoryFile().Usage()
		return strconv.FormatUint(used, 10)
	}
	cpus := "0"
	if n := k.CPUs(); n > 1 {
		cpus = "0-" + strconv.Itoa(n-1)
	}
	quota, period := limit(t.Limits.CPUQuota), t.Limits.CPUPeriod
	if period == 0 {
		period = 100000
	}
	const controllers = "cpuset cpu io memory pids"
	return []textfs.Entry{
		textfs.File("cgroup.controllers", controllers), textfs.File("cgroup.events", "populated 1\nfrozen 0"), textfs.File("cgroup.freeze", "0"),
		textfs.File("cgroup.max.depth", "max"), textfs.File("cgroup.max.descendants", "max"),
		{Name: "cgroup.procs", Mode: 0o444, Text: func(ctx *vfs.Context) (string, error) { return t.processes(ctx, false), nil }},
		textfs.File("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0"),
		{Name: "cgroup.subtree_control", Mode: 0o444, Text: func(*vfs.Context) (string, error) { return "\n", nil }},
		{Name: "cgroup.threads", Mode: 0o444, Text: func(ctx *vfs.Context) (string, error) { return t.processes(ctx, true), nil }},
		textfs.File("cgroup.type", "domain"),
		textfs.File("cpu.max", quota+" "+strconv.FormatUint(period, 10)), show("cpu.stat", t.cpuStat),
		textfs.File("cpuset.cpus.effective", cpus), textfs.File("cpuset.mems.effective", "0"),
		show("memory.current", memory), textfs.File("memory.high", "max"), textfs.File("memory.low", "0"), textfs.File("memory.max", limit(t.Limits.Memory)),
		textfs.File("memory.min", "0"), show("memory.stat", t.memoryStat), textfs.File("memory.swap.current", "0"), textfs.File("memory.swap.max", "0"),
		show("pids.current", func() string { return strconv.FormatInt(k.NumTasks(), 10) }), textfs.File("pids.max", limit(uint64(t.Limits.Tasks))),
	}
}

// groups are the processes that who uses ctx sees.
func (t *Type) groups(ctx *vfs.Context) (*kernel.PIDNamespace, []*kernel.ThreadGroup) {
	pids := t.Kernel.RootNamespaces().PIDForChildren
	if ctx != nil {
		if task, _ := ctx.Task.(*kernel.Task); task != nil {
			pids = task.PIDNamespace()
		}
	}
	return pids, pids.ThreadGroups()
}

// processes are cgroup.procs, or cgroup.threads.
func (t *Type) processes(ctx *vfs.Context, threads bool) string {
	var b strings.Builder
	pids, groups := t.groups(ctx)
	for _, tg := range groups {
		if !threads {
			fmt.Fprintln(&b, tg.ID(pids))
			continue
		}
		for _, task := range tg.Tasks() {
			fmt.Fprintln(&b, task.TIDIn(pids))
		}
	}
	return b.String()
}

// cpuStat is cpu.stat.
func (t *Type) cpuStat() string {
	var user, system int64
	_, groups := t.groups(nil)
	for _, tg := range groups {
		u, s := tg.CPUTime()
		cu, cs := tg.ChildCPUTime()
		user, system = user+u+cu, system+s+cs
	}
	return fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec %d\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0", (user+system)/1e3, user/1e3, system/1e3)
}

// memoryStat is memory.stat: private memory is counted by process, all else in the
// memory file is of files.
func (t *Type) memoryStat() string {
	used, _ := t.Kernel.MemoryFile().Usage()
	var anon uint64
	_, groups := t.groups(nil)
	for _, tg := range groups {
		if leader := tg.Leader(); leader != nil {
			if m := leader.MM(); m != nil {
				anon += m.Usage().Anon
			}
		}
	}
	anon = min(anon, used)
	return fmt.Sprintf("anon %d\nfile %d\nkernel 0\nsock 0\nshmem %d\nfile_mapped 0\nfile_dirty 0\nfile_writeback 0\ninactive_anon 0\nactive_anon %d\ninactive_file 0\nactive_file 0", anon, used-anon, used-anon, anon)
}
