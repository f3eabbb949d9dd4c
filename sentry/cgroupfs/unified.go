package cgroupfs

import (
	"fmt"
	"strconv"

	"casemate/sentry/textfs"
)

// unified are the files of version 2. The kernel files' zeros are of what the sandbox does
// not have, such as swap.
func (v view) unified() []textfs.Entry {
	g := v.group
	const controllers = "cpuset cpu io memory pids"
	return []textfs.Entry{
		textfs.File("cgroup.controllers", controllers),
		file("cgroup.events", func() string { return fmt.Sprintf("populated 1\nfrozen %d", flag(g.Frozen())) }),
		file("cgroup.freeze", func() string { return strconv.Itoa(flag(g.Frozen())) }),
		textfs.File("cgroup.max.depth", "max"), textfs.File("cgroup.max.descendants", "max"), v.processes("cgroup.procs", false),
		textfs.File("cgroup.stat", "nr_descendants 0\nnr_dying_descendants 0"), textfs.File("cgroup.subtree_control", ""),
		v.processes("cgroup.threads", true), textfs.File("cgroup.type", "domain"),
		file("cpu.max", func() string {
			l := g.Limits()
			return limit(l.CPUQuota) + " " + strconv.FormatUint(period(&l), 10)
		}),
		file("cpu.stat", v.cpuStat), number("cpu.weight", func() uint64 { return weight(g.Limits().CPUShares) }),
		file("cpuset.cpus.effective", v.cpuList), textfs.File("cpuset.mems.effective", "0"),
		number("memory.current", g.MemoryInUse),
		file("memory.events", func() string { return fmt.Sprintf("low 0\nhigh 0\nmax 0\noom %d\noom_kill %[1]d", g.OOMKills()) }),
		textfs.File("memory.high", "max"), number("memory.low", func() uint64 { return g.Limits().Reservation }),
		file("memory.max", func() string { return limit(g.Limits().Memory) }), textfs.File("memory.min", "0"), number("memory.peak", v.mostMemory),
		file("memory.stat", v.memoryStat), textfs.File("memory.swap.current", "0"),
		file("memory.swap.max", func() string {
			l := g.Limits()
			if l.Swap == 0 {
				return "max"
			}
			return strconv.FormatUint(l.Swap-min(l.Memory, l.Swap), 10)
		}),
		number("pids.current", v.tasksNow), file("pids.events", func() string { return fmt.Sprintf("max %d", v.tasksRefused()) }),
		file("pids.max", func() string { return limit(uint64(g.Limits().Tasks)) }), number("pids.peak", v.tasksMost),
	}
}

func flag(set bool) int {
	if set {
		return 1
	}
	return 0
}

// limit is a limit as version 2 writes it.
func limit(n uint64) string {
	if n == 0 {
		return "max"
	}
	return strconv.FormatUint(n, 10)
}

// weight is cpu.weight for the shares of version 1, whose range 2 to 262144 it maps to 1 to
// 10000, as runtimes do.
func weight(shares uint64) uint64 {
	if shares == 0 {
		const usual = 100
		return usual
	}
	return 1 + (max(shares, 2)-2)*9999/262142
}

func (v view) cpuStat() string {
	user, system := v.group.CPUTime()
	return fmt.Sprintf("usage_usec %d\nuser_usec %d\nsystem_usec %d\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0", (user+system)/1e3, user/1e3, system/1e3)
}

// memoryStat is memory.stat: what is no process's own is of files, which are in memory like
// those of a tmpfs.
func (v view) memoryStat() string {
	used := v.group.MemoryInUse()
	anon := min(v.group.AnonMemory(), used)
	return fmt.Sprintf("anon %d\nfile %d\nkernel 0\nsock 0\nshmem %[2]d\nfile_mapped 0\nfile_dirty 0\nfile_writeback 0\ninactive_anon 0\nactive_anon %[1]d\ninactive_file 0\nactive_file 0", anon, used-anon)
}

// mostMemory is the greatest memory in use that was seen, this time included.
func (v view) mostMemory() uint64 {
	v.group.MemoryInUse()
	return v.group.MostMemory()
}
