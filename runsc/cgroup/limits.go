package cgroup

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// defaultPeriod is that of a CPU quota, in microseconds.
const defaultPeriod = 100000

// Limits are what a container sees of its group's limits.
type Limits struct {
	Memory uint64 // bytes; 0 if there is no limit
	CPUs   int    // whole CPUs; 0 if there is no limit
}

// Limits returns those that hold for the group: its own and those of the groups above.
func (g *Group) Limits() Limits {
	return Limits{Memory: g.memoryLimit(), CPUs: g.cpuLimit()}
}

// hostPids is the limit of the host's processes and threads for a container that may
// have as many tasks as p says. The sandbox counts the container's tasks itself; the
// host counts the sentry's and the gofer's threads too, which must not be
// refused at a time when the container is within its limit.
func hostPids(p *specs.LinuxPids) *specs.LinuxPids {
	if p == nil || p.Limit == nil || *p.Limit <= 0 || *p.Limit > math.MaxInt32 {
		return p
	}
	limit := *p.Limit*tasksPerTask + ownTasks
	return &specs.LinuxPids{Limit: &limit}
}

const (
	tasksPerTask = 4   // stubs, spare ones, and the sentry's thread that listens to it
	ownTasks     = 256 // the sentry and the gofer
)

// asked is a copy of r without numbers that are 0: engines write them for "as it is".
func asked(r *specs.LinuxResources) *specs.LinuxResources {
	host := *r
	if r.CPU != nil {
		c := *r.CPU
		drop(&c.Shares)
		drop(&c.Quota)
		drop(&c.Period)
		drop(&c.RealtimeRuntime)
		drop(&c.RealtimePeriod)
		host.CPU = &c
	}
	if r.Memory != nil {
		m := *r.Memory
		drop(&m.Limit)
		drop(&m.Reservation)
		drop(&m.Swap)
		//lint:ignore SA1019 engines still give it, as 0
		drop(&m.Kernel)
		drop(&m.KernelTCP)
		host.Memory = &m
	}
	return &host
}

// Merge returns the limits of r with those of changes in their place. Both may be nil.
func Merge(r, changes *specs.LinuxResources) (*specs.LinuxResources, error) {
	merged := new(specs.LinuxResources)
	for _, from := range []*specs.LinuxResources{r, changes} {
		if from == nil {
			continue
		}
		data, err := json.Marshal(asked(from))
		if err == nil {
			err = json.Unmarshal(data, merged) // what the text does not have stays as it is
		}
		if err != nil {
			return nil, fmt.Errorf("merging limits: %w", err)
		}
	}
	return merged, nil
}

// drop makes a number that is 0 one that is not there.
func drop[T int64 | uint64 | uint16](v **T) {
	if *v != nil && **v == 0 {
		*v = nil
	}
}

// blockIO is b without weights of 0, which engines write for "as it is"; nil if nothing is
// left.
func blockIO(b *specs.LinuxBlockIO) *specs.LinuxBlockIO {
	if b == nil {
		return nil
	}
	host := *b
	drop(&host.Weight)
	drop(&host.LeafWeight)
	if host.Weight == nil && host.LeafWeight == nil && len(host.WeightDevice)+len(host.ThrottleReadBpsDevice)+
		len(host.ThrottleWriteBpsDevice)+len(host.ThrottleReadIOPSDevice)+len(host.ThrottleWriteIOPSDevice) == 0 {
		return nil
	}
	return &host
}

// memoryLimit is the least limit of the group and those above.
func (g *Group) memoryLimit() (least uint64) {
	if g.v2 == nil {
		f, err := os.Open(filepath.Join(g.dir("memory"), "memory.stat"))
		if err != nil {
			return 0
		}
		defer f.Close()
		for s := bufio.NewScanner(f); s.Scan(); {
			if v, ok := strings.CutPrefix(s.Text(), "hierarchical_memory_limit "); ok {
				limit, _ := strconv.ParseUint(v, 10, 64)
				if limit >= math.MaxInt64&^0xfffff {
					return 0 // that is how version 1 says that there is none
				}
				return limit
			}
		}
		return 0
	}
	g.upwards("", func(dir string) {
		if v := readNumber(dir, "memory.max"); v > 0 && (least == 0 || uint64(v) < least) {
			least = uint64(v)
		}
	})
	return least
}

// cpuLimit is how many CPUs the least quota of the group and those above, and its set
// of CPUs, come to; part of a CPU counts as one.
func (g *Group) cpuLimit() (least int) {
	limit := func(cpus int) {
		if cpus > 0 && (least == 0 || cpus < least) {
			least = cpus
		}
	}
	quota := func(quota, period int64) {
		if quota > 0 && period > 0 {
			limit(int((quota + period - 1) / period))
		}
	}
	if g.v2 != nil {
		g.upwards("", func(dir string) {
			text, _ := os.ReadFile(filepath.Join(dir, "cpu.max"))
			if f := strings.Fields(string(text)); len(f) == 2 {
				q, _ := strconv.ParseInt(f[0], 10, 64)
				p, _ := strconv.ParseInt(f[1], 10, 64)
				quota(q, p)
			}
		})
		limit(countCPUs(g.dir(""), "cpuset.cpus.effective"))
		return least
	}
	g.upwards("cpu", func(dir string) {
		quota(readNumber(dir, "cpu.cfs_quota_us"), readNumber(dir, "cpu.cfs_period_us"))
	})
	limit(countCPUs(g.dir("cpuset"), "cpuset.effective_cpus"))
	return least
}

// upwards calls f with the directory of the group for a controller and with each above.
func (g *Group) upwards(controller string, f func(dir string)) {
	name, ok := g.place.Paths[controller]
	for ok {
		f(filepath.Join(mountPoint, controller, name))
		ok = name != "/"
		name = path.Dir(name)
	}
}

// readNumber reads a file of one number. It returns 0 if that says max, or fails.
func readNumber(dir, file string) int64 {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	v, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return v
}

// countCPUs counts the CPUs of a list as 0-3,6 (cpuset(7), "List format"). It returns 0
// if there is none.
func countCPUs(dir, file string) (n int) {
	text, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil || dir == "" {
		return 0
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(text)), ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && to >= from {
			n += to - from + 1
		}
	}
	return n
}

// OOMKills returns how many processes of the group the host has killed because the
// group was out of memory.
func (g *Group) OOMKills() uint64 {
	dir, file := g.dir("memory"), "memory.oom_control"
	if g.v2 != nil {
		file = "memory.events"
	}
	f, err := os.Open(filepath.Join(dir, file))
	if err != nil {
		return 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "oom_kill "); ok {
			n, _ := strconv.ParseUint(v, 10, 64)
			return n
		}
	}
	return 0
}
