package cgroupfs

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"casemate/sentry/textfs"
)

// legacy are the files of a hierarchy of version 1 with these controllers.
func (v view) legacy(controllers []string) []textfs.Entry {
	list := []textfs.Entry{
		textfs.File("cgroup.clone_children", "0"), v.processes("cgroup.procs", false), textfs.File("notify_on_release", "0"), v.processes("tasks", true),
	}
	for _, c := range controllers {
		switch c {
		case "cpu":
			list = append(list, v.cpu()...)
		case "cpuacct":
			list = append(list, v.cpuacct()...)
		case "cpuset":
			list = append(list, file("cpuset.cpus", v.cpuList), file("cpuset.effective_cpus", v.cpuList),
				textfs.File("cpuset.effective_mems", "0"), textfs.File("cpuset.mems", "0"))
		case "freezer":
			list = append(list, v.freezer()...)
		case "memory":
			list = append(list, v.memory()...)
		case "pids":
			list = append(list, number("pids.current", v.tasksNow), file("pids.events", func() string { return fmt.Sprintf("max %d", v.tasksRefused()) }),
				file("pids.max", func() string { return limit(uint64(v.group.Limits().Tasks)) }), number("pids.peak", v.tasksMost))
		}
	}
	return list
}

func (v view) cpu() []textfs.Entry {
	return []textfs.Entry{
		number("cpu.cfs_period_us", func() uint64 {
			l := v.group.Limits()
			return period(&l)
		}),
		file("cpu.cfs_quota_us", func() string {
			if quota := v.group.Limits().CPUQuota; quota != 0 {
				return strconv.FormatUint(quota, 10)
			}
			return "-1"
		}),
		number("cpu.shares", func() uint64 {
			const usual = 1024
			return cmp.Or(v.group.Limits().CPUShares, usual)
		}),
		textfs.File("cpu.stat", "nr_periods 0\nnr_throttled 0\nthrottled_time 0"),
	}
}

func (v view) cpuacct() []textfs.Entry {
	const tick = 1e9 / 100 // ns
	return []textfs.Entry{
		file("cpuacct.stat", func() string {
			user, system := v.group.CPUTime()
			return fmt.Sprintf("user %d\nsystem %d", user/tick, system/tick)
		}),
		number("cpuacct.usage", func() int64 {
			user, system := v.group.CPUTime()
			return user + system
		}),
		number("cpuacct.usage_sys", func() int64 {
			_, system := v.group.CPUTime()
			return system
		}),
		number("cpuacct.usage_user", func() int64 {
			user, _ := v.group.CPUTime()
			return user
		}),
	}
}

func (v view) freezer() []textfs.Entry {
	frozen := func() int64 { return int64(flag(v.group.Frozen())) }
	return []textfs.Entry{
		textfs.File("freezer.parent_freezing", "0"), number("freezer.self_freezing", frozen),
		file("freezer.state", func() string { return [...]string{"THAWED", "FROZEN"}[frozen()] }),
	}
}

// noLimit is how the controller of memory writes that there is none: the most whole pages.
const noLimit = math.MaxInt64 &^ 0xfff

func (v view) memory() []textfs.Entry {
	g := v.group
	asked := func(n uint64) uint64 { return cmp.Or(n, noLimit) }
	return []textfs.Entry{
		textfs.File("memory.failcnt", "0"), number("memory.limit_in_bytes", func() uint64 { return asked(g.Limits().Memory) }),
		number("memory.max_usage_in_bytes", v.mostMemory),
		number("memory.memsw.limit_in_bytes", func() uint64 { return asked(g.Limits().Swap) }), number("memory.memsw.usage_in_bytes", g.MemoryInUse),
		file("memory.oom_control", func() string { return fmt.Sprintf("oom_kill_disable 0\nunder_oom 0\noom_kill %d", g.OOMKills()) }),
		number("memory.soft_limit_in_bytes", func() uint64 { return asked(g.Limits().Reservation) }),
		file("memory.stat", v.memoryStat1), number("memory.usage_in_bytes", g.MemoryInUse), textfs.File("memory.use_hierarchy", "1"),
	}
}

// memoryStat1 is memory.stat: what is no process's own is of files, which are in memory like
// those of a tmpfs.
func (v view) memoryStat1() string {
	used, l := v.group.MemoryInUse(), v.group.Limits()
	anon := min(v.group.AnonMemory(), used)
	text := ""
	for _, prefix := range []string{"", "total_"} {
		text += fmt.Sprintf("%[1]scache %[3]d\n%[1]srss %[2]d\n%[1]sshmem %[3]d\n%[1]smapped_file 0\n%[1]sswap 0\n%[1]sinactive_anon 0\n%[1]sactive_anon %[2]d\n"+
			"%[1]sinactive_file 0\n%[1]sactive_file 0\n%[1]sunevictable 0\n", prefix, anon, used-anon)
		if prefix == "" {
			text += fmt.Sprintf("hierarchical_memory_limit %d\nhierarchical_memsw_limit %d\n", cmp.Or(l.Memory, noLimit), cmp.Or(l.Swap, noLimit))
		}
	}
	return text[:len(text)-1]
}
