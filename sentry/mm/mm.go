package mm

import (
	"sync"
	"sync/atomic"

	"casemate/platform"
	"casemate/platform/arch"
	"casemate/platform/memfile"
	"casemate/platform/rangemap"
	"casemate/vfs"
	"casemate/vfs/refs"

	"golang.org/x/sys/unix"
)

const (
	pageSize = arch.PageSize

	// maxMapCount is vm.max_map_count, the limit of VMAs of a process.
	maxMapCount = 65530

	// stackGuardGap is how much must stay free below a mapping that grows down
	// (stack_guard_gap, 256 pages).
	stackGuardGap = 256 * pageSize
)

// Limits are the resource limits that a request is checked against
// (getrlimit(2)), in bytes.
type Limits struct {
	AS, Data, Stack, Memlock uint64
	// IPCLock says that the caller has CAP_IPC_LOCK: Memlock is no limit.
	IPCLock bool
}

// NoLimits are limits that allow everything.
var NoLimits = Limits{^uint64(0), ^uint64(0), ^uint64(0), ^uint64(0), true}

// A MemoryManager is the address space of one or more tasks (CLONE_VM). It
// implements vfs.MappingSpace, and platform.Text for its AddressSpace.
//
// Methods that take a platform.Context want the Context in whose upcall the
// caller is, if it runs in this address space, else nil (see
// platform.AddressSpace.Apply).
type MemoryManager struct {
	p  platform.Platform
	mf *memfile.File
	// users counts the tasks, and others that use the address space.
	users  atomic.Int64
	layout Layout

	mu sync.RWMutex
	as platform.AddressSpace // nil once released
	// started says that AddressSpace has been called, so that application code
	// may run in it. Until then the work for the host is only collected.
	started  bool
	vmas     rangemap.Map[vma]
	backings rangemap.Map[backing]
	// ahead has ranges of the memory file that were reserved for addresses but
	// are not used yet. The MemoryManager has the reference; nobody has mapped
	// or written them.
	ahead rangemap.Map[reserve]
	// sources counts the bytes that are mapped of every file.
	sources map[sourceKey]*source
	// gen changes with every change of a VMA or backing.
	gen uint64

	brkStart, brk uint64
	// stackStart is an address in the initial stack.
	stackStart uint64
	// lockFuture is what mlockall(MCL_FUTURE) has set: flags of new VMAs.
	lockFuture vmaFlags
	// growth limits mappings that grow down.
	growth struct{ stack, as uint64 }
	usage  usage

	// pending is the work of the operation in progress; see commit.
	pending pending
	// hot has the places whose copies were broken since the last fork.
	hot hotSet
	// windows are the sentry's own mappings of pieces of host files.
	windows windows
}

// usage is the accounting of VMAs, in bytes.
type usage struct {
	total  uint64 // VmSize
	data   uint64 // private writable, but no stack: RLIMIT_DATA
	stack  uint64
	exec   uint64 // file-backed executable: VmExe and VmLib
	locked uint64
	shared uint64 // file or shared
}

// New returns an empty address space with one user. Errors are the platform's.
func New(p platform.Platform, mf *memfile.File, l Layout) (*MemoryManager, error) {
	m := &MemoryManager{p: p, mf: mf, layout: l, sources: map[sourceKey]*source{}, gen: 1}
	m.growth.stack, m.growth.as = ^uint64(0), ^uint64(0)
	m.users.Store(1)
	as, err := p.NewAddressSpace(m)
	if err != nil {
		return nil, err
	}
	m.as = as
	return m, nil
}

// AddressSpace is the platform's side, for Context.Start and SetAddressSpace. It
// is valid while the caller is a user. What was mapped before the first call is
// mapped on the host now, all at once; if that fails the address space is dead,
// which the platform then says to Start.
func (m *MemoryManager) AddressSpace() platform.AddressSpace {
	m.mu.Lock()
	as := m.as
	if m.started || as == nil {
		m.mu.Unlock()
		return as
	}
	m.started = true
	_ = m.end(nil, nil)
	return as
}

// SetTitle has the host show another name and command line for the address space's process, if
// the platform can (platform.Titled). It returns that process's number, 0 if there is none. The
// caller is a user.
func (m *MemoryManager) SetTitle(name, line string) (pid int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if as, ok := m.as.(platform.Titled); ok && m.started {
		return as.SetTitle(name, line)
	}
	return 0
}

// Layout is the layout that New was given.
func (m *MemoryManager) Layout() Layout { return m.layout }

// IncUsers adds a user: a task (thread) that runs in the address space, or
// somebody who looks at it for a while. The caller is one. See also TryIncUsers.
func (m *MemoryManager) IncUsers() { m.users.Add(1) }

// Users is the number of users.
func (m *MemoryManager) Users() int { return int(m.users.Load()) }

// TryIncUsers adds a user unless the last has gone.
func (m *MemoryManager) TryIncUsers() bool { return refs.TryInc(&m.users) }

// DecUsers drops a user. With the last one everything is released: no Context
// runs in the address space any more. It may close files.
func (m *MemoryManager) DecUsers() {
	if m.users.Add(-1) != 0 {
		return
	}
	m.mu.Lock()
	m.as.Release()
	m.as = nil
	m.pending.ops = nil
	m.gen++
	m.letGo()
	for c := m.vmas.First(); c.Entry() != nil; c = c.Next() {
		e := c.Entry()
		if s := e.Value.src; s != nil {
			s.mappable.RemoveMapping(m, e.Start, e.Len(), e.Value.off, e.Value.sharedWritable())
		}
	}
	for c := m.backings.First(); c.Entry() != nil; c = c.Next() {
		if e := c.Entry(); e.Value.private() {
			m.mf.DecRef(memfile.Range{Start: e.Value.off, End: e.Value.off + e.Len()})
		}
	}
	for c := m.ahead.First(); c.Entry() != nil; c = c.Next() {
		e := c.Entry()
		m.mf.DecRefUntouched(memfile.Range{Start: uint64(e.Value), End: uint64(e.Value) + e.Len()})
	}
	m.windows.drop(0, ^uint64(0))
	files := m.pending.files
	m.pending.files = nil
	for k := range m.sources {
		files = append(files, k.file)
	}
	m.sources = nil
	m.vmas = rangemap.Map[vma]{}
	m.backings = rangemap.Map[backing]{}
	m.ahead = rangemap.Map[reserve]{}
	m.usage = usage{}
	m.mu.Unlock()
	for _, f := range files {
		f.DecRef()
	}
}

// pending is what an operation that holds mu for writing has still to do outside
// of the package.
type pending struct {
	// ops is the work for the host, in order.
	ops []platform.Op
	// dead are ranges of the memory file to release after ops.
	dead []memfile.Range
	// removed are mappings of files to take back after ops.
	removed []removedMapping
	// files are references to drop after mu is released.
	files []File
}

type removedMapping struct {
	mappable          vfs.Mappable
	addr, length, off uint64
	writable          bool
}

// commit carries out the pending work but for files, if anything can run already.
// The error is the platform's: the address space is dead, and its Contexts will be.
func (m *MemoryManager) commit(c platform.Context) error {
	m.gen++
	if !m.started {
		return nil
	}
	var err error
	if len(m.pending.ops) > 0 {
		err = m.as.Apply(c, m.pending.ops)
		m.pending.ops = m.pending.ops[:0]
	}
	m.letGo()
	return err
}

// letGo gives back what the host does not map any more.
func (m *MemoryManager) letGo() {
	for _, r := range m.pending.removed {
		r.mappable.RemoveMapping(m, r.addr, r.length, r.off, r.writable)
	}
	clear(m.pending.removed)
	m.pending.removed = m.pending.removed[:0]
	for _, r := range m.pending.dead {
		m.mf.DecRef(r)
	}
	m.pending.dead = m.pending.dead[:0]
}

// begin locks m for a change. ESRCH if it has been released.
func (m *MemoryManager) begin() error {
	m.mu.Lock()
	if m.as == nil {
		m.mu.Unlock()
		return unix.ESRCH
	}
	return nil
}

// end commits, releases the lock and drops references to files. It returns err,
// or else the error of the commit, as ENOMEM.
func (m *MemoryManager) end(c platform.Context, err error) error {
	if e := m.commit(c); e != nil && err == nil {
		err = unix.ENOMEM
	}
	var files []File
	if m.started {
		files, m.pending.files = m.pending.files, nil
	}
	m.mu.Unlock()
	for _, f := range files {
		f.DecRef()
	}
	return err
}

// opUnmap queues the removal of the host's mappings of a range.
func (m *MemoryManager) opUnmap(start, end uint64) {
	if n := len(m.pending.ops); n > 0 {
		if o := &m.pending.ops[n-1]; o.Kind == platform.Unmap {
			switch {
			case o.Addr+o.Length == start:
				o.Length += end - start
				return
			case end == o.Addr:
				o.Addr, o.Length = start, o.Length+end-start
				return
			}
		}
	}
	m.pending.ops = append(m.pending.ops, platform.Op{Kind: platform.Unmap, Addr: start, Length: end - start})
}

// opMap queues a mapping. It takes the place of a removal of the same range that
// was queued last.
func (m *MemoryManager) opMap(op platform.Op) {
	op.Kind = platform.Map
	for n := len(m.pending.ops); n > 0; n-- {
		o := &m.pending.ops[n-1]
		if o.Kind == platform.Unmap && o.Addr >= op.Addr && o.Addr+o.Length <= op.Addr+op.Length {
			m.pending.ops = m.pending.ops[:n-1]
			continue
		}
		if o.Kind == platform.Map && o.Addr+o.Length == op.Addr && o.Offset+o.Length == op.Offset &&
			o.FD == op.FD && o.Prot == op.Prot && o.Private == op.Private && o.Populate == op.Populate {
			o.Length += op.Length
			return
		}
		break
	}
	m.pending.ops = append(m.pending.ops, op)
}

// opProtect queues a change of protection of mapped memory.
func (m *MemoryManager) opProtect(start, end uint64, prot int) {
	if n := len(m.pending.ops); n > 0 {
		if o := &m.pending.ops[n-1]; o.Kind == platform.Protect && o.Addr+o.Length == start && o.Prot == prot {
			o.Length += end - start
			return
		}
	}
	m.pending.ops = append(m.pending.ops, platform.Op{Kind: platform.Protect, Addr: start, Length: end - start, Prot: prot})
}
