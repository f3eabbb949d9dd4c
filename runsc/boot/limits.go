package boot

import (
	"bytes"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"sync/atomic"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/platform/memfile"
	"casemate/runsc/cgroup"
	"casemate/runsc/control"
	"casemate/sentry/kernel"
)

// limits are what a container may use and sees.
type limits struct {
	memory uint64 // bytes
	cpus   int
	tasks  int64
	group  kernel.CgroupLimits // as the container's cgroup files say it
	// outside says that the host limits the memory as well.
	outside bool
}

// limitsOf works out the limits that r, linux.resources of a configuration, and those of the
// host's group leave of what the host has to give. r may be nil.
func (s *sandbox) limitsOf(r *specs.LinuxResources, host cgroup.Limits) limits {
	l := limits{memory: s.host.memory, cpus: s.host.cpus, tasks: s.host.maxTasks}
	if host.Memory != 0 {
		l.memory, l.group.Memory, l.outside = min(l.memory, host.Memory), host.Memory, true
	}
	if host.CPUs != 0 {
		l.cpus = min(l.cpus, host.CPUs)
	}
	if r == nil || s.Config.IgnoreCgroups {
		return l
	}
	set := func(to *uint64, from *int64) {
		if from != nil && *from > 0 {
			*to = uint64(*from)
		}
	}
	if m := r.Memory; m != nil {
		set(&l.group.Memory, m.Limit)
		set(&l.group.Reservation, m.Reservation)
		set(&l.group.Swap, m.Swap)
		if l.group.Memory != 0 {
			l.memory = min(l.memory, l.group.Memory)
			l.group.Memory = l.memory
		}
	}
	if c := r.CPU; c != nil {
		set(&l.group.CPUQuota, c.Quota)
		if c.Period != nil {
			l.group.CPUPeriod = *c.Period
		}
		if c.Shares != nil {
			l.group.CPUShares = *c.Shares
		}
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit > 0 {
		l.tasks = min(l.tasks, *p.Limit)
		l.group.Tasks = l.tasks
	}
	return l
}

// resources are linux.resources of the container's configuration, which may be nil.
func resources(c *control.Container) *specs.LinuxResources {
	if c.Spec.Linux == nil {
		return nil
	}
	return c.Spec.Linux.Resources
}

// update sets a container's limits anew. Those of the first one are the sandbox's.
func (s *container) update(u *control.Update) {
	l := s.limitsOf(u.Resources, u.Limits)
	s.cgroup.SetLimits(l.group)
	if s.ID != s.Boot.ID {
		return
	}
	s.kernel.SetTotalMemory(l.memory)
	s.kernel.SetCPUs(l.cpus)
	s.vdso.SetCPUs(l.cpus)
	s.kernel.SetMaxTasks(l.tasks)
	s.watch.limit(&l)
}

// A memoryWatch sees to it that the sandbox does not take more memory than it may,
// nor the last of the host's: it kills the process that has the most of it, as
// Linux does.
//
// Page faults never reach the sentry, so it has to look, the more often the less is
// left.
type memoryWatch struct {
	kernel  *kernel.Kernel
	file    *memfile.File
	memInfo int // descriptor of the host's /proc/meminfo
	limits  atomic.Pointer[memoryLimits]
	reserve uint64 // what the host must keep
	share   uint64 // with less than this, the sandbox is not what the host lacks
	heap    []metrics.Sample
	buf     [4096]byte
}

// memoryLimits are those of a sandbox.
type memoryLimits struct {
	limit uint64
	own   uint64 // what the sentry may take itself beside the limit
	init  bool   // init processes may be killed
}

const (
	// sentryMemory is what the sentry may take itself beside its limit, if no cgroup
	// counts that too.
	sentryMemory = 64 << 20
	// fillRate is at what rate, bytes a second, memory is taken up at most.
	fillRate = 8 << 30

	minWatch  = 10 * time.Millisecond
	idleWatch = 200 * time.Millisecond // while there is nobody to kill
	maxWatch  = time.Second
	// dying is how long a killed process may take to end before the next is killed.
	dying = 5 * time.Second
	// freeing is how long the memory in use has to have stopped shrinking before
	// those are killed whose own memory is not what fills it.
	freeing = time.Second
)

func (s *sandbox) newMemoryWatch(l *limits) *memoryWatch {
	total := s.host.memory
	w := &memoryWatch{
		kernel: s.kernel, file: s.memory, memInfo: s.host.memInfo, reserve: min(max(total/32, 64<<20), 1<<30), share: total / 8,
		heap: []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}},
	}
	w.limit(l)
	return w
}

// limit sets the limit. It may be called while the watch runs.
func (w *memoryWatch) limit(l *limits) {
	if l.outside {
		// The cgroup kills the whole sandbox at its limit, and engines see that. So
		// that is left to it where the container's end is due, and forestalled where
		// another process's end will do.
		w.limits.Store(&memoryLimits{limit: l.memory - l.memory/16})
		return
	}
	w.limits.Store(&memoryLimits{limit: l.memory, own: sentryMemory, init: true})
}

// run never returns.
func (w *memoryWatch) run() {
	var before int64
	var since time.Time // when left was the least
	for {
		l := w.limits.Load()
		groups := w.watchGroups()
		left, own := w.left(l)
		if left <= 0 && own > l.own+sentryMemory {
			debug.FreeOSMemory() // much of it may be garbage
			left, _ = w.left(l)
		}
		if left > 0 {
			since = time.Time{}
			time.Sleep(min(max(time.Duration(float64(min(left, groups))/fillRate*float64(time.Second)), minWatch), maxWatch))
			continue
		}
		if since.IsZero() || left > before {
			since = time.Now()
		}
		before = left
		pause := idleWatch
		if victim := w.kernel.KillForMemory(l.limit/64, time.Since(since) > freeing, l.init); victim != nil {
			pause = minWatch
			since = time.Time{}
			await(victim)
		}
		time.Sleep(pause)
	}
}

// watchGroups kills processes of those containers that have more memory than they may: all
// but the first one, whose limit is the sandbox's. It returns how many bytes the one may still
// take that is nearest to its limit.
func (w *memoryWatch) watchGroups() (left int64) {
	left = math.MaxInt64
	for _, g := range w.kernel.Cgroups() {
		limit := g.Limits().Memory
		if g == w.kernel.RootCgroup() || limit == 0 {
			continue
		}
		used := g.MemoryInUse()
		if used > limit {
			if victim := g.KillForMemory(0, false, true); victim != nil {
				await(victim)
			}
		}
		left = min(left, max(int64(limit)-int64(used), 0))
	}
	return left
}

// await waits for the end of a process that was killed.
func await(victim *kernel.ThreadGroup) {
	select {
	case <-victim.Exited():
	case <-time.After(dying):
	}
}

// left returns how many bytes the sandbox may still take, and how many the sentry
// has itself.
func (w *memoryWatch) left(l *memoryLimits) (left int64, own uint64) {
	metrics.Read(w.heap)
	own = w.heap[0].Value.Uint64() - w.heap[1].Value.Uint64()
	used, err := w.file.Usage()
	if err != nil {
		used = 0
	}
	if own > l.own {
		used += own - l.own
	}
	left = int64(l.limit) - int64(used)
	if free, ok := w.available(); ok {
		left = min(left, max(int64(free)-int64(w.reserve), int64(w.share)-int64(used)))
	}
	return left, own
}

// available returns how much memory the host has to give (MemAvailable of
// proc_meminfo(5)).
func (w *memoryWatch) available() (uint64, bool) {
	n, err := unix.Pread(w.memInfo, w.buf[:], 0)
	if err != nil {
		return 0, false
	}
	_, rest, ok := bytes.Cut(w.buf[:n], []byte("MemAvailable:"))
	line, _, _ := bytes.Cut(rest, []byte("kB"))
	v, err := strconv.ParseUint(string(bytes.TrimSpace(line)), 10, 54)
	return v << 10, ok && err == nil
}
