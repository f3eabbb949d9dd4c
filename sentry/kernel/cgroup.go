package kernel

import (
	"maps"
	"slices"
	"sync/atomic"

	"casemate/sentry/clock"
)

// A Hierarchy is one of the host's trees of control groups (cgroups(7)), and where in it
// a group is, as the processes in the group see it.
type Hierarchy struct {
	ID int // 0: that of version 2
	// Controllers are as in /proc/PID/cgroup: names with commas between them, name=NAME for
	// a hierarchy without any, "" for version 2.
	Controllers string
	Path        string
	// Dir is the directory of /sys/fs/cgroup on which version 1 is mounted, "" if it is not.
	Dir string
}

// CgroupLimits are the limits of a Cgroup; 0 stands for none.
type CgroupLimits struct {
	Memory, Reservation uint64 // bytes
	Swap                uint64 // bytes, memory included
	CPUQuota, CPUPeriod uint64 // µs
	CPUShares           uint64
	Tasks               int64
}

// A Cgroup is a control group as a container sees it: the processes that began in it, with
// their descendants, what they may use and what they use. Its methods may be called by any
// goroutine.
type Cgroup struct {
	k           *Kernel
	hierarchies []Hierarchy
	limits      atomic.Pointer[CgroupLimits]
	tasks       atomic.Int64 // zombies included
	mostTasks   atomic.Int64
	refused     atomic.Int64 // tasks that were one too many
	mostMemory  atomic.Uint64
	killed      atomic.Int64 // processes killed for want of memory
	frozen      atomic.Bool

	// Guarded by Kernel.mu.
	processes            map[*ThreadGroup]struct{} // with tasks left
	deadUser, deadSystem int64                     // CPU time of processes that have ended, ns
}

// NewCgroup makes a group without limits. hierarchies say where it is; they must not change
// any more.
func (k *Kernel) NewCgroup(hierarchies []Hierarchy) *Cgroup {
	g := &Cgroup{k: k, hierarchies: hierarchies, processes: map[*ThreadGroup]struct{}{}}
	g.limits.Store(&CgroupLimits{})
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cgroups = append(k.cgroups, g)
	return g
}

// Remove forgets the group, which has no processes any more.
func (g *Cgroup) Remove() {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	g.k.cgroups = remove(g.k.cgroups, g)
}

// Cgroups returns all groups.
func (k *Kernel) Cgroups() []*Cgroup {
	k.mu.RLock()
	defer k.mu.RUnlock()
	return slices.Clone(k.cgroups)
}

// RootCgroup is the group of processes that are started without another one. What the
// sandbox uses as a whole counts as its.
func (k *Kernel) RootCgroup() *Cgroup { return k.rootCgroup }

// Cgroup is the group that the process is in.
func (tg *ThreadGroup) Cgroup() *Cgroup { return tg.cgroup }

// Hierarchies say where the group is. The caller does not change them.
func (g *Cgroup) Hierarchies() []Hierarchy { return g.hierarchies }

// Limits are what the group may use.
func (g *Cgroup) Limits() CgroupLimits { return *g.limits.Load() }

// SetLimits changes them. Of what the group uses already nothing is taken away.
func (g *Cgroup) SetLimits(l CgroupLimits) { g.limits.Store(&l) }

// TotalMemory is the memory in bytes that the group's processes see: its limit, if that is
// less than the sandbox's.
func (g *Cgroup) TotalMemory() uint64 {
	total := g.k.TotalMemory()
	if limit := g.Limits().Memory; limit != 0 {
		total = min(total, limit)
	}
	return total
}

// tasksLeft reports whether there may be one more task in the group, and counts that there
// may not.
func (g *Cgroup) tasksLeft() bool {
	if limit := g.limits.Load().Tasks; limit == 0 || g.tasks.Load() < limit {
		return true
	}
	g.refused.Add(1)
	return false
}

// Tasks returns how many tasks there are, the most that there have been, and how many were
// refused.
func (g *Cgroup) Tasks() (now, most, refused int64) {
	return g.tasks.Load(), g.mostTasks.Load(), g.refused.Load()
}

// OOMKills is the number of processes of the group that were killed for want of memory.
func (g *Cgroup) OOMKills() int64 { return g.killed.Load() }

// ThreadGroups returns the group's processes that have tasks left.
func (g *Cgroup) ThreadGroups() []*ThreadGroup {
	g.k.mu.RLock()
	defer g.k.mu.RUnlock()
	return slices.Collect(maps.Keys(g.processes))
}

// CPUTime is the CPU time in ns that the group's processes have used, those included that
// have ended.
func (g *Cgroup) CPUTime() (user, system int64) {
	g.k.mu.RLock()
	defer g.k.mu.RUnlock()
	user, system = g.deadUser, g.deadSystem
	for tg := range g.processes {
		u, s := tg.CPUTime()
		user, system = user+u, system+s
	}
	return user, system
}

// MemoryInUse is the memory in bytes that the group uses: that of its processes, and if the
// group is the root one that of all files besides.
func (g *Cgroup) MemoryInUse() uint64 {
	var used uint64
	if g == g.k.rootCgroup {
		used, _ = g.k.memory.Usage()
	} else {
		used = g.AnonMemory()
	}
	for most := g.mostMemory.Load(); used > most && !g.mostMemory.CompareAndSwap(most, used); {
		most = g.mostMemory.Load()
	}
	return used
}

// MostMemory is the most that MemoryInUse has returned.
func (g *Cgroup) MostMemory() uint64 { return g.mostMemory.Load() }

// AnonMemory is the memory in bytes that belongs to the group's processes and to no file. It
// asks the host about all their memory: milliseconds for each GiB.
func (g *Cgroup) AnonMemory() (bytes uint64) {
	for _, tg := range g.ThreadGroups() {
		if m := tg.Leader().MM(); m != nil {
			bytes += m.Usage().Anon
		}
	}
	return bytes
}

// Freeze keeps the group's tasks, and those that they make, from running application code
// until Thaw. A task that is in a system call is stopped at its end. Only SIGKILL ends a
// frozen task.
func (g *Cgroup) Freeze() {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	g.frozen.Store(true)
	for tg := range g.processes {
		for _, t := range tg.Tasks() {
			t.setWork(workFreeze)
		}
	}
}

// Thaw lets them go on.
func (g *Cgroup) Thaw() {
	g.k.mu.Lock()
	defer g.k.mu.Unlock()
	g.frozen.Store(false)
	for tg := range g.processes {
		for _, t := range tg.Tasks() {
			t.waker.wake()
		}
	}
}

// Frozen reports whether Freeze was called, and Thaw was not.
func (g *Cgroup) Frozen() bool { return g.frozen.Load() }

// freeze waits until the task's group is thawed.
func (t *Task) freeze() {
	t.work.And(^uint32(workFreeze)) // before the look at frozen: Freeze may be called again
	t.ctx.Blocking()
	t.cpu.leaveSystem(clock.Monotonic())
	for t.tg.cgroup.frozen.Load() && t.work.Load()&workExit == 0 {
		t.waker.park()
	}
	t.cpu.enterSystem(clock.Monotonic())
}

// count makes t, which is new, one of the group's tasks. k.mu is held.
func (g *Cgroup) count(t *Task) {
	g.processes[t.tg] = struct{}{}
	n := g.tasks.Add(1)
	g.mostTasks.Store(max(n, g.mostTasks.Load()))
	if g.frozen.Load() {
		t.work.Or(workFreeze)
	}
}

// leave takes out a process whose last task has exited. k.mu is held.
func (g *Cgroup) leave(tg *ThreadGroup) {
	delete(g.processes, tg)
	user, system := tg.CPUTime()
	g.deadUser, g.deadSystem = g.deadUser+user, g.deadSystem+system
}
