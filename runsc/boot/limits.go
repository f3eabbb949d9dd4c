package boot

import (
	"bytes"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/platform/memfile"
	"casemate/sentry/kernel"
)

// memoryLimit is the memory in bytes that the container sees and may use: that of
// the configuration (linux.resources.memory.limit), else the host's.
func (s *sandbox) memoryLimit() uint64 {
	if r := s.resources(); r != nil && r.Memory != nil && r.Memory.Limit != nil && *r.Memory.Limit > 0 {
		return min(uint64(*r.Memory.Limit), s.host.memory)
	}
	return s.host.memory
}

func (s *sandbox) resources() *specs.LinuxResources {
	if s.Spec.Linux == nil {
		return nil
	}
	return s.Spec.Linux.Resources
}

// taskLimit is how many tasks the sandbox may have: what the configuration says
// (linux.resources.pids.limit), and no more than the host can spare.
func (s *sandbox) taskLimit() int64 {
	if r := s.resources(); r != nil && r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0 {
		return min(*r.Pids.Limit, s.host.maxTasks)
	}
	return s.host.maxTasks
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
	limit   uint64
	reserve uint64 // what the host must keep
	share   uint64 // with less than this, the sandbox is not what the host lacks
	heap    []metrics.Sample
	buf     [4096]byte
}

const (
	// sentryMemory is what the sentry may take itself beside its limit.
	sentryMemory = 64 << 20
	// fillRate is at what rate, bytes a second, memory is taken up at most.
	fillRate = 8 << 30

	minWatch = 10 * time.Millisecond
	maxWatch = time.Second
	// dying is how long a killed process may take to end before the next is killed.
	dying = 5 * time.Second
	// freeing is how long the memory in use has to have stopped shrinking before
	// those are killed whose own memory is not what fills it.
	freeing = time.Second
)

func (s *sandbox) newMemoryWatch() *memoryWatch {
	total := s.host.memory
	return &memoryWatch{
		kernel: s.kernel, file: s.memory, memInfo: s.host.memInfo,
		limit: s.memoryLimit(), reserve: min(max(total/32, 64<<20), 1<<30), share: total / 8,
		heap: []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}},
	}
}

// run never returns.
func (w *memoryWatch) run() {
	var before int64
	var since time.Time // when left was the least
	for {
		left, own := w.left()
		if left <= 0 && own > sentryMemory {
			debug.FreeOSMemory() // much of it may be garbage
			left, _ = w.left()
		}
		if left > 0 {
			since = time.Time{}
			time.Sleep(min(max(time.Duration(float64(left)/fillRate*float64(time.Second)), minWatch), maxWatch))
			continue
		}
		if since.IsZero() || left > before {
			since = time.Now()
		}
		before = left
		if victim := w.kernel.KillForMemory(w.limit/64, time.Since(since) > freeing); victim != nil {
			since = time.Time{}
			select {
			case <-victim.Exited():
			case <-time.After(dying):
			}
		}
		time.Sleep(minWatch)
	}
}

// left returns how many bytes the sandbox may still take, and how many the sentry
// has itself.
func (w *memoryWatch) left() (left int64, own uint64) {
	metrics.Read(w.heap)
	own = w.heap[0].Value.Uint64() - w.heap[1].Value.Uint64()
	used, err := w.file.Usage()
	if err != nil {
		used = 0
	}
	if own > sentryMemory {
		used += own - sentryMemory
	}
	left = int64(w.limit) - int64(used)
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
