package kernel

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// unkillableByOOM is the oom_score_adj of processes that are never killed for want
// of memory (proc_pid_oom_score_adj(5)).
const unkillableByOOM = -1000

// KillForMemory kills a process because there is no memory left, see
// Cgroup.KillForMemory: one of all that there are.
func (k *Kernel) KillForMemory(least uint64, any, init bool) *ThreadGroup {
	k.mu.RLock()
	var all []*ThreadGroup
	for _, g := range k.cgroups {
		all = slices.AppendSeq(all, maps.Keys(g.processes))
	}
	k.mu.RUnlock()
	return k.killForMemory(all, least, any, init)
}

// KillForMemory kills a process of the group because the group has no memory left, and returns it: the
// one that has the most memory of its own, counted as oom_score_adj says, if it has
// least bytes. If nobody has so much, the memory is in files or the sentry's own:
// then it is the youngest if any is set, an init process last, else nil. Init
// processes are killed only if init is set. A process that is to die and is not gone
// yet is returned again. It asks the host about all the memory that there is:
// milliseconds for each GiB.
func (g *Cgroup) KillForMemory(least uint64, any, init bool) *ThreadGroup {
	return g.k.killForMemory(g.ThreadGroups(), least, any, init)
}

func (k *Kernel) killForMemory(processes []*ThreadGroup, least uint64, any, init bool) *ThreadGroup {
	type candidate struct {
		tg    *ThreadGroup
		score int64
	}
	var largest, youngest candidate
	for _, tg := range processes {
		if tg.oomVictim.Load() {
			return tg
		}
		adj := int64(tg.OOMScoreAdj())
		m := tg.Leader().MM()
		if adj == unkillableByOOM || m == nil {
			continue
		}
		anon := m.Usage().Anon
		if score := int64(anon) + adj*int64(k.TotalMemory()/1000); anon >= least && (largest.tg == nil || score > largest.score) {
			largest = candidate{tg, score}
		}
		score := tg.StartTime()
		if tg.unkillable {
			score = -1
		}
		if youngest.tg == nil || score > youngest.score {
			youngest = candidate{tg, score}
		}
	}
	victim := largest.tg
	if victim == nil && any {
		victim = youngest.tg
	}
	if victim == nil || victim.unkillable && !init {
		return nil
	}
	m := victim.Leader().MM()
	if m == nil {
		return victim // it has just ended
	}
	u, comm := m.Usage(), victim.Leader().Comm()
	victim.oomVictim.Store(true)
	victim.cgroup.killed.Add(1)
	k.Printk(LevelError, "Out of memory: Killed process %d (%s) total-vm:%dkB, anon-rss:%dkB, oom_score_adj:%d",
		victim.PID(), comm, u.Total>>10, u.Anon>>10, victim.OOMScoreAdj())
	k.Logf("out of memory: killing process %d (%s), which has %d MiB", victim.PID(), comm, u.Anon>>20)
	victim.SignalGroup(kernelSigInfo(int32(unix.SIGKILL)))
	return victim
}
