package cgroup

import (
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup1/stats"
	stats2 "github.com/containerd/cgroups/v3/cgroup2/stats"
)

// Stats are figures of what a group uses, as runc events shows them. Times are in
// nanoseconds, sizes in bytes.
type Stats struct {
	CPU    CPUStats    `json:"cpu"`
	Memory MemoryStats `json:"memory"`
	Pids   PidsStats   `json:"pids"`
	BlkIO  BlkIOStats  `json:"blkio"`
}

// CPUStats are the CPU time that was used, and that was waited for at the limit.
type CPUStats struct {
	Usage struct {
		Total  uint64   `json:"total,omitempty"`
		PerCPU []uint64 `json:"percpu,omitempty"`
		Kernel uint64   `json:"kernel"`
		User   uint64   `json:"user"`
	} `json:"usage,omitempty"`
	Throttling struct {
		Periods          uint64 `json:"periods,omitempty"`
		ThrottledPeriods uint64 `json:"throttledPeriods,omitempty"`
		ThrottledTime    uint64 `json:"throttledTime,omitempty"`
	} `json:"throttling,omitempty"`
}

// MemoryEntry is one account of memory.
type MemoryEntry struct {
	Limit   uint64 `json:"limit"`
	Usage   uint64 `json:"usage,omitempty"`
	Max     uint64 `json:"max,omitempty"`
	Failcnt uint64 `json:"failcnt"`
}

// MemoryStats are the memory that is used.
type MemoryStats struct {
	Cache     uint64            `json:"cache,omitempty"`
	Usage     MemoryEntry       `json:"usage,omitempty"`
	Swap      MemoryEntry       `json:"swap,omitempty"`
	Kernel    MemoryEntry       `json:"kernel,omitempty"`
	KernelTCP MemoryEntry       `json:"kernelTCP,omitempty"`
	Raw       map[string]uint64 `json:"raw,omitempty"`
}

// PidsStats are the host's processes and threads.
type PidsStats struct {
	Current uint64 `json:"current,omitempty"`
	Limit   uint64 `json:"limit,omitempty"`
}

// BlkIOStats are bytes and operations by device.
type BlkIOStats struct {
	Bytes      []BlkIOEntry `json:"ioServiceBytesRecursive,omitempty"`
	Operations []BlkIOEntry `json:"ioServicedRecursive,omitempty"`
}

// BlkIOEntry is one figure of a device.
type BlkIOEntry struct {
	Major uint64 `json:"major,omitempty"`
	Minor uint64 `json:"minor,omitempty"`
	Op    string `json:"op,omitempty"`
	Value uint64 `json:"value,omitempty"`
}

// Stats returns the group's figures.
func (g *Group) Stats() (*Stats, error) {
	if g.v2 != nil {
		m, err := g.v2.Stat()
		if err != nil {
			return nil, err
		}
		return statsOf2(m), nil
	}
	if g.v1 == nil {
		return nil, cgroup1.ErrCgroupDeleted
	}
	m, err := g.v1.Stat(cgroup1.IgnoreNotExist)
	if err != nil {
		return nil, err
	}
	return statsOf1(m), nil
}

func statsOf1(m *stats.Metrics) *Stats {
	s := new(Stats)
	u, t := m.GetCPU().GetUsage(), m.GetCPU().GetThrottling()
	s.CPU.Usage.Total, s.CPU.Usage.PerCPU, s.CPU.Usage.Kernel, s.CPU.Usage.User = u.GetTotal(), u.GetPerCPU(), u.GetKernel(), u.GetUser()
	s.CPU.Throttling.Periods, s.CPU.Throttling.ThrottledPeriods, s.CPU.Throttling.ThrottledTime = t.GetPeriods(), t.GetThrottledPeriods(), t.GetThrottledTime()
	mem := m.GetMemory()
	entry := func(e *stats.MemoryEntry) MemoryEntry {
		return MemoryEntry{Limit: e.GetLimit(), Usage: e.GetUsage(), Max: e.GetMax(), Failcnt: e.GetFailcnt()}
	}
	s.Memory = MemoryStats{
		Cache: mem.GetCache(), Usage: entry(mem.GetUsage()), Swap: entry(mem.GetSwap()), Kernel: entry(mem.GetKernel()), KernelTCP: entry(mem.GetKernelTCP()),
		Raw: map[string]uint64{
			"cache": mem.GetCache(), "rss": mem.GetRSS(), "mapped_file": mem.GetMappedFile(), "pgfault": mem.GetPgFault(), "pgmajfault": mem.GetPgMajFault(),
			"active_anon": mem.GetActiveAnon(), "inactive_anon": mem.GetInactiveAnon(), "active_file": mem.GetActiveFile(), "inactive_file": mem.GetInactiveFile(),
			"unevictable": mem.GetUnevictable(),
		},
	}
	s.Pids = PidsStats{Current: m.GetPids().GetCurrent(), Limit: m.GetPids().GetLimit()}
	entries := func(from []*stats.BlkIOEntry) (to []BlkIOEntry) {
		for _, e := range from {
			to = append(to, BlkIOEntry{e.GetMajor(), e.GetMinor(), e.GetOp(), e.GetValue()})
		}
		return to
	}
	s.BlkIO = BlkIOStats{Bytes: entries(m.GetBlkio().GetIoServiceBytesRecursive()), Operations: entries(m.GetBlkio().GetIoServicedRecursive())}
	return s
}

func statsOf2(m *stats2.Metrics) *Stats {
	const microsecond = 1000
	s := new(Stats)
	c := m.GetCPU()
	s.CPU.Usage.Total, s.CPU.Usage.Kernel, s.CPU.Usage.User = c.GetUsageUsec()*microsecond, c.GetSystemUsec()*microsecond, c.GetUserUsec()*microsecond
	s.CPU.Throttling.Periods, s.CPU.Throttling.ThrottledPeriods = c.GetNrPeriods(), c.GetNrThrottled()
	s.CPU.Throttling.ThrottledTime = c.GetThrottledUsec() * microsecond
	mem := m.GetMemory()
	s.Memory = MemoryStats{
		Cache: mem.GetFile(),
		Usage: MemoryEntry{Limit: mem.GetUsageLimit(), Usage: mem.GetUsage(), Failcnt: m.GetMemoryEvents().GetMax()},
		Swap:  MemoryEntry{Limit: mem.GetSwapLimit(), Usage: mem.GetSwapUsage()},
		Raw:   map[string]uint64{"anon": mem.GetAnon(), "file": mem.GetFile(), "pgfault": mem.GetPgfault(), "pgmajfault": mem.GetPgmajfault()},
	}
	s.Pids = PidsStats{Current: m.GetPids().GetCurrent(), Limit: m.GetPids().GetLimit()}
	for _, e := range m.GetIo().GetUsage() {
		s.BlkIO.Bytes = append(s.BlkIO.Bytes, BlkIOEntry{e.GetMajor(), e.GetMinor(), "Read", e.GetRbytes()}, BlkIOEntry{e.GetMajor(), e.GetMinor(), "Write", e.GetWbytes()})
		s.BlkIO.Operations = append(s.BlkIO.Operations, BlkIOEntry{e.GetMajor(), e.GetMinor(), "Read", e.GetRios()}, BlkIOEntry{e.GetMajor(), e.GetMinor(), "Write", e.GetWios()})
	}
	return s
}
