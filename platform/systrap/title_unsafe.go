//go:build amd64

package systrap

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A stub has a page of its own, stubTitle, with the name and the command line that the host's
// list of processes shows of it: the host's kernel looks for these only in memory that is no
// file's. The stub fills the page by reading it from the area file, where the sentry has
// written it, at low addresses of an alternate stack, which no frame reaches.
const (
	titleSize   = 0x1000
	titleName   = 0  // the thread's name, 16 bytes (prctl(2), PR_SET_NAME)
	titleArgs   = 16 // the command line, ended by a zero
	titleSource = stackStart
)

// putTitle writes a title where the stub reads it from. The last byte is not zero: by that the
// host takes the page for one that a program has changed (setproctitle(3)), and shows what
// comes before the first zero.
func (a area) putTitle(name, line string) {
	page := a.mem[titleSource : titleSource+titleSize]
	clear(page)
	copy(page[titleName:titleArgs-1], name)
	copy(page[titleArgs:titleSize-2], line)
	page[titleSize-1] = 1
}

// titleCalls are the calls by which the stub takes over what putTitle has written in the area
// at offset off of the area file.
func (p *Platform) titleCalls(off uint64) []call {
	return []call{
		{unix.SYS_PREAD64, [6]uint64{uint64(p.areas.fd), stubTitle, titleSize, off + titleSource}},
		{unix.SYS_PRCTL, [6]uint64{unix.PR_SET_NAME, stubTitle + titleName}},
	}
}

// setTitle has t, in phaseStub and its mu held, take over a title.
func (t *thread) setTitle(name, line string) unix.Errno {
	t.area.putTitle(name, line)
	t.proc.mu.Lock()
	off := t.proc.chunks[t.slot/chunkSlots] + uint64(t.slot%chunkSlots)*areaSize
	t.proc.mu.Unlock()
	_, e := t.run(cmdCalls, t.proc.p.titleCalls(off))
	return e
}

// SetTitle implements platform.Titled.
func (s *space) SetTitle(name, line string) (pid int) {
	s.exec.Lock()
	defer s.exec.Unlock()
	if s.proc.space.Load() != s {
		return 0 // released
	}
	t := s.borrow(nil)
	if t == nil {
		return 0
	}
	e := s.drain(t)
	if first := s.first(); e == 0 && first != nil && first != t {
		t.mu.Unlock()
		if t = s.seize(first); t == nil {
			return 0
		}
	}
	defer t.mu.Unlock()
	if e != 0 || t.setTitle(name, line) != 0 {
		return 0
	}
	return s.proc.pid
}

// first is the thread whose name is the process's, nil if it has ended.
func (s *space) first() *thread {
	s.proc.mu.Lock()
	defer s.proc.mu.Unlock()
	for _, t := range s.proc.threads {
		if t != nil && t.tid == s.proc.pid {
			return t
		}
	}
	return nil
}

// A memoryMap is struct prctl_mm_map.
type memoryMap struct {
	startCode, endCode, startData, endData, startBrk, brk, startStack uint64
	argStart, argEnd, envStart, envEnd                                uint64
	auxv                                                              uint64
	auxvSize, exeFD                                                   uint32
}

// withTitlePage calls f, which clones the template, while this process's command line is said
// to be where stubs have theirs: a clone inherits that. Where the kernel cannot do that
// (CONFIG_CHECKPOINT_RESTORE) stubs show no command line.
func withTitlePage(f func() error) error {
	own, err := ownMemoryMap()
	if err != nil {
		return err
	}
	stub := *own
	stub.argStart, stub.argEnd = stubTitle+titleArgs, stubTitle+titleSize
	stub.envStart, stub.envEnd = stub.argEnd, stub.argEnd
	if stub.set() == 0 {
		defer own.set()
	}
	return f()
}

func (m *memoryMap) set() unix.Errno {
	_, _, e := unix.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_MM, unix.PR_SET_MM_MAP, uintptr(unsafe.Pointer(m)), unsafe.Sizeof(*m), 0, 0)
	return e
}

// ownMemoryMap reads this process's (proc_pid_stat(5)).
func ownMemoryMap() (*memoryMap, error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return nil, fmt.Errorf("reading the own memory map: %w", err)
	}
	const first = 3 // the number of the field after the name
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	m := &memoryMap{exeFD: ^uint32(0)}
	for number, to := range map[int]*uint64{
		26: &m.startCode, 27: &m.endCode, 28: &m.startStack, 45: &m.startData, 46: &m.endData, 47: &m.startBrk,
		48: &m.argStart, 49: &m.argEnd, 50: &m.envStart, 51: &m.envEnd,
	} {
		if number-first >= len(fields) {
			return nil, fmt.Errorf("reading the own memory map: %d fields", len(fields))
		}
		if *to, err = strconv.ParseUint(string(fields[number-first]), 10, 64); err != nil {
			return nil, fmt.Errorf("reading the own memory map: %w", err)
		}
	}
	brk, _, _ := unix.RawSyscall(unix.SYS_BRK, 0, 0, 0)
	m.brk = uint64(brk)
	return m, nil
}
