package kernel

import (
	"sync"
	"sync/atomic"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/sentry/clock"
	"casemate/sentry/mm"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/pipe"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

// Options are what a Kernel is made of.
type Options struct {
	// Platform runs the application.
	Platform platform.Platform
	// Memory is the sandbox's memory file.
	Memory *memfile.File
	// Table has the system calls.
	Table *Table
	// VFS is the sandbox's file systems.
	VFS *vfs.VFS
	// MapVDSO maps the vDSO into a new address space and returns the address of its
	// ELF header. nil: there is none.
	MapVDSO func(m *mm.MemoryManager) (uint64, error)
	// Clock returns what applications read from one of the system's clocks
	// (CLOCK_REALTIME to CLOCK_TAI but for CPU and alarm clocks), in ns. nil: the
	// host's clock.
	Clock func(id int32) (int64, error)
	// UserNS is the initial user namespace.
	UserNS *cred.UserNamespace
	// Hostname is the initial host name.
	Hostname string
	// CPUs is the number of CPUs that applications see; at least 1.
	CPUs int
	// TotalMemory is the memory that applications see, in bytes.
	TotalMemory uint64
	// MaxTasks is how many tasks there may be, those that nobody has waited for
	// included: more give EAGAIN. 0: any number.
	MaxTasks int64
	// Hierarchies say where the root control group is.
	Hierarchies []Hierarchy
	// Log receives one line for what an operator may want to know. May be nil.
	Log func(format string, args ...any)
}

// A Kernel is the kernel of one sandbox.
type Kernel struct {
	// Log is what dmesg(1) shows.
	Log Log
	// BeforeBlock, if not nil, is called by a task that is about to block, with no locks held. What
	// it does may wake the task.
	BeforeBlock func()

	platform       platform.Platform
	memory         *memfile.File
	table          *Table
	log            func(format string, args ...any)
	cpus           atomic.Int64
	total          atomic.Uint64
	maxTasks       atomic.Int64
	rootCgroup     *Cgroup
	timers         *clock.Queue
	futexes        futexTable
	vfs            *vfs.VFS
	mapVDSO        func(m *mm.MemoryManager) (uint64, error)
	clock          func(id int32) (int64, error)
	anon           *anonFS
	nsfs           *nsFS
	pipes          *pipe.FS
	shm            shm
	async          asyncFiles
	users          users
	barrierWait    wait.Queue // those in Membarrier
	barrierWaiters atomic.Int32
	desks          desks
	strace         atomic.Bool
	straceTo       atomic.Pointer[func(line string)]
	tasks          atomic.Int64
	forks          atomic.Int64
	missing        [MaxSyscall + 1]atomic.Bool // calls whose absence has been logged
	boot           int64                       // CLOCK_BOOTTIME at which the sandbox began

	userNS *cred.UserNamespace
	root   Namespaces

	cgroups []*Cgroup // guarded by mu

	mu sync.RWMutex // see the package comment
}

// New returns a kernel without processes.
func New(o Options) *Kernel {
	k := &Kernel{
		platform: o.Platform,
		memory:   o.Memory,
		table:    o.Table,
		log:      o.Log,
		vfs:      o.VFS,
		mapVDSO:  o.MapVDSO,
		clock:    o.Clock,
		anon:     newAnonFS(o.VFS),
		nsfs:     newNSFS(o.VFS),
		pipes:    pipe.NewFS(o.VFS),
		shm:      newShm(o.VFS, o.Memory),
		timers:   clock.NewQueue(),
		userNS:   o.UserNS,
	}
	k.SetCPUs(o.CPUs)
	k.SetTotalMemory(o.TotalMemory)
	k.maxTasks.Store(PIDMax)
	if o.MaxTasks > 0 {
		k.maxTasks.Store(o.MaxTasks)
	}
	k.rootCgroup = k.NewCgroup(o.Hierarchies)
	if k.log == nil {
		k.log = func(string, ...any) {}
	}
	if k.clock == nil {
		k.clock = clock.Host
	}
	k.boot = k.Boottime()
	k.futexes.init()
	pids, err := k.newPIDNamespace(nil, k.userNS)
	if err != nil {
		panic(err) // a namespace without a parent is not nested too deep
	}
	k.root = Namespaces{
		UTS:            k.NewUTSNamespace(o.Hostname, "(none)", k.userNS),
		IPC:            k.NewIPCNamespace(k.userNS),
		Net:            k.NewNetNamespace(k.userNS),
		Cgroup:         &CgroupNamespace{ID: initialCgroupNS, UserNS: k.userNS},
		PIDForChildren: pids,
	}
	return k
}

// Close ends the kernel's timers. No task may be left.
func (k *Kernel) Close() { k.timers.Close() }

// Platform returns what runs the application.
func (k *Kernel) Platform() platform.Platform { return k.platform }

// MemoryFile returns the sandbox's memory file.
func (k *Kernel) MemoryFile() *memfile.File { return k.memory }

// VFS returns the sandbox's file systems.
func (k *Kernel) VFS() *vfs.VFS { return k.vfs }

// Table returns the system call table.
func (k *Kernel) Table() *Table { return k.table }

// Timers returns the sandbox's timer queue.
func (k *Kernel) Timers() *clock.Queue { return k.timers }

// CPUs is the number of CPUs that applications see.
func (k *Kernel) CPUs() int { return int(k.cpus.Load()) }

// SetCPUs changes it; less than 1 is 1.
func (k *Kernel) SetCPUs(n int) { k.cpus.Store(max(int64(n), 1)) }

// TotalMemory is the memory in bytes that applications see.
func (k *Kernel) TotalMemory() uint64 { return k.total.Load() }

// SetTotalMemory changes it.
func (k *Kernel) SetTotalMemory(bytes uint64) { k.total.Store(bytes) }

// UserNS is the initial user namespace.
func (k *Kernel) UserNS() *cred.UserNamespace { return k.userNS }

// RootNamespaces are the namespaces of the sandbox itself.
func (k *Kernel) RootNamespaces() Namespaces { return k.root }

// tasksLeft reports whether there may be one more task.
func (k *Kernel) tasksLeft() bool { return k.tasks.Load() < k.maxTasks.Load() }

// NumTasks is the number of tasks.
func (k *Kernel) NumTasks() int64 { return k.tasks.Load() }

// MaxTasks is how many tasks there may be.
func (k *Kernel) MaxTasks() int64 { return k.maxTasks.Load() }

// SetMaxTasks changes it. Tasks that there are stay.
func (k *Kernel) SetMaxTasks(n int64) { k.maxTasks.Store(n) }

// Forks is the number of tasks that there have been.
func (k *Kernel) Forks() int64 { return k.forks.Load() }

// Clock returns what applications read from one of the system's clocks, in ns:
// EINVAL for CPU and alarm clocks and for what does not exist.
func (k *Kernel) Clock(id int32) (int64, error) { return k.clock(id) }

// Boottime is CLOCK_BOOTTIME in ns; CLOCK_MONOTONIC if the host refuses.
func (k *Kernel) Boottime() int64 {
	if ns, err := k.clock(unix.CLOCK_BOOTTIME); err == nil {
		return ns
	}
	return clock.Monotonic()
}

// Uptime is how long the system has been running, in ns: it goes with
// CLOCK_BOOTTIME, which is the host's.
func (k *Kernel) Uptime() int64 { return k.Boottime() }

// Logf writes a line for the operator.
func (k *Kernel) Logf(format string, args ...any) { k.log(format, args...) }

// absent logs a call that does not exist, once.
func (k *Kernel) absent(nr uint64) {
	i := min(nr, MaxSyscall)
	if k.missing[i].Load() || k.missing[i].Swap(true) {
		return
	}
	k.log("system call %s (%d) is absent: ENOSYS", k.table.Name(nr), nr)
}

// logFatal logs a signal that kills a process by a fault.
func (k *Kernel) logFatal(t *Task, info *SigInfo) {
	if coreSignals.Has(info.Signo) {
		k.log("%s (task %d) killed by %s, code %d, address %#x, ip %#x, sp %#x", t.Comm(), t.TID(),
			unix.SignalName(unix.Signal(info.Signo)), info.Code, info.u64(16), t.state.IP(), t.state.SP())
	}
}
