package ptrace

import (
	"fmt"
	"sync"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// maxSyscall bounds the numbers of Options.FullStateSyscalls.
const maxSyscall = 1024

// Platform implements platform.Platform.
type Platform struct {
	full   [maxSyscall]bool // Options.FullStateSyscalls
	log    func(format string, args ...any)
	lo     uint64         // lowest address that can be mapped
	base   arch.Registers // registers of the template, for injected calls
	xsize  int            // size of the host's NT_X86_XSTATE
	master int            // pid of the template

	requests chan func() // to the control thread
	done     chan struct{}

	mu     sync.Mutex
	spaces map[*addressSpace]struct{} // not yet released; guarded by mu
}

var _ platform.Platform = (*Platform)(nil)

// Open starts the platform. It should be called early: the first stub begins as a
// copy of the caller's process. The process must not reap its children with
// wait4(2) of pid -1.
func Open(opts platform.Options) (platform.Platform, error) {
	p := &Platform{
		log:      opts.Log,
		requests: make(chan func()),
		done:     make(chan struct{}),
		spaces:   make(map[*addressSpace]struct{}),
	}
	if p.log == nil {
		p.log = func(string, ...any) {}
	}
	for _, nr := range opts.FullStateSyscalls {
		if nr >= maxSyscall {
			return nil, fmt.Errorf("ptrace platform: system call number %d is out of range", nr)
		}
		p.full[nr] = true
	}
	go p.control()
	var err error
	p.onControl(func() { err = p.makeTemplate() })
	if err != nil {
		p.Close()
		return nil, fmt.Errorf("ptrace platform: %w", err)
	}
	return p, nil
}

// makeTemplate creates the stub process from which all others are forked. It runs
// on the control thread.
func (p *Platform) makeTemplate() error {
	fd, err := unix.MemfdCreate("stub", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return fmt.Errorf("memfd_create: %w", err)
	}
	defer unix.Close(fd)
	if _, err := unix.Write(fd, stubPage()); err != nil {
		return fmt.Errorf("write the stub page: %w", err)
	}
	const seals = unix.F_SEAL_WRITE | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return fmt.Errorf("seal the stub page: %w", err)
	}

	pid := int(cloneTemplate(unix.CLONE_FILES, stubBase, uintptr(fd), stubWait))
	if pid < 0 {
		return fmt.Errorf("clone: %w", unix.Errno(-pid))
	}
	p.master = pid
	if err := p.catchTemplate(pid); err != nil {
		return err
	}
	if err := clearSigMask(pid); err != nil {
		return fmt.Errorf("unblock the stub's signals: %w", err)
	}
	p.base.Fs_base, p.base.Gs_base = 0, 0
	if err := p.forgetRseq(pid); err != nil {
		return err
	}
	for _, r := range [][2]uint64{{0, stubBase}, {stubBase + arch.PageSize, userEnd - stubBase - arch.PageSize}} {
		if _, err := call(pid, &p.base, unix.SYS_MUNMAP, r[0], r[1]); err != nil {
			return fmt.Errorf("empty the stub's address space: %w", err)
		}
	}
	// An application finds the lowest address that it can use by trying.
	for p.lo = arch.PageSize; ; p.lo *= 2 {
		_, err := call(pid, &p.base, unix.SYS_MMAP, p.lo, arch.PageSize, unix.PROT_NONE,
			unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, ^uint64(0), 0)
		if err == nil {
			break
		}
		if p.lo >= 1<<30 {
			return fmt.Errorf("map low memory in the stub: %w", err)
		}
	}
	if _, err := call(pid, &p.base, unix.SYS_MUNMAP, p.lo, arch.PageSize); err != nil {
		return fmt.Errorf("munmap in the stub: %w", err)
	}
	if _, err := call(pid, &p.base, unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	if _, err := call(pid, &p.base, unix.SYS_CAPSET, stubCapHeader, stubCapData); err != nil {
		return fmt.Errorf("drop the stub's capabilities: %w", err)
	}
	if _, err := call(pid, &p.base, unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, stubProg); err != nil {
		return fmt.Errorf("install the stub's seccomp filter: %w", err)
	}
	buf := make([]byte, 64<<10)
	if _, err := syscallArch(pid); err != nil {
		return fmt.Errorf("ptrace(PTRACE_GET_SYSCALL_INFO), which Linux has since 5.3: %w", err)
	}
	if p.xsize, err = getXState(pid, buf); err != nil {
		return fmt.Errorf("read the extended state: %w", err)
	}
	if p.xsize < arch.FPStateSize() {
		return fmt.Errorf("the host's extended state has %d bytes, less than the %d expected", p.xsize, arch.FPStateSize())
	}
	return nil
}

// forgetRseq takes back the rseq(2) registration that the template has inherited
// if the sentry's process is linked with a C library that makes one: the kernel
// would write to memory that is about to go.
func (p *Platform) forgetRseq(pid int) error {
	const unregister = 1
	rc, err := getRseq(pid)
	if err != nil || rc.pointer == 0 {
		return nil // before Linux 5.13 no C library registers
	}
	if _, err := call(pid, &p.base, unix.SYS_RSEQ, rc.pointer, uint64(rc.size), unregister, uint64(rc.signature)); err != nil {
		return fmt.Errorf("unregister the stub's rseq area: %w", err)
	}
	return nil
}

// catchTemplate attaches to the new template and stops it in the stub page. Until
// it has made itself dumpable, tracing may not be allowed.
func (p *Platform) catchTemplate(pid int) error {
	const limit = 20 * time.Second // the host may be busy
	begin := time.Now()
	for {
		err := seize(pid, traceOptions)
		if err == nil {
			break
		}
		if err != unix.EPERM || time.Since(begin) > limit {
			// Not traced, it is an ordinary child.
			unix.Kill(pid, unix.SIGKILL)
			reap(pid)
			return fmt.Errorf("ptrace(PTRACE_SEIZE) is refused (kernel.yama.ptrace_scope, a seccomp filter or a security module?): %w", err)
		}
		time.Sleep(time.Millisecond)
	}
	for {
		if err := stop(pid); err != nil {
			return fmt.Errorf("stop the first stub: %w", err)
		}
		if err := getRegs(pid, &p.base); err != nil {
			return fmt.Errorf("read the first stub's registers: %w", err)
		}
		if p.base.Rip >= stubBase && p.base.Rip < stubBase+arch.PageSize {
			return nil
		}
		if err := resume(unix.PTRACE_CONT, pid); err != nil {
			return fmt.Errorf("continue the first stub: %w", err)
		}
		if time.Since(begin) > limit {
			return fmt.Errorf("the first stub does not come up (at %#x)", p.base.Rip)
		}
		time.Sleep(time.Millisecond) // else it gets nowhere
	}
}

// Name returns "ptrace".
func (p *Platform) Name() string { return "ptrace" }

// UserRange is everything from the host's lowest address to the stub page.
func (p *Platform) UserRange() (lo, hi uint64) { return p.lo, stubBase }

// NewContext returns a Context whose events h serves.
func (p *Platform) NewContext(h platform.Handler) platform.Context {
	return &context{p: p, h: h, unparked: make(chan struct{}, 1), st: platform.State{FP: arch.NewFPState()}}
}

// NewAddressSpace forks the template. Nothing is ever rewritten on this platform:
// text is not used.
func (p *Platform) NewAddressSpace(platform.Text) (platform.AddressSpace, error) {
	var pid int
	var err error
	p.onControl(func() { pid, err = p.fork(p.master) })
	if err != nil {
		return nil, hostError(err)
	}
	return p.newAddressSpace(pid), nil
}

// HostSyscalls lists what the platform needs after Open.
func (p *Platform) HostSyscalls() []platform.HostSyscall {
	calls := []platform.HostSyscall{
		{Nr: unix.SYS_WAIT4},
		{Nr: unix.SYS_WAITID},
		{Nr: unix.SYS_TGKILL, Args: []platform.ArgRule{{Index: 2, Value: uint64(interruptSignal)}}},
		{Nr: unix.SYS_KILL, Args: []platform.ArgRule{{Index: 1, Value: uint64(unix.SIGKILL)}}},
		{Nr: unix.SYS_GETTID},
	}
	for _, r := range []uint64{
		unix.PTRACE_SYSEMU, unix.PTRACE_CONT, unix.PTRACE_INTERRUPT, unix.PTRACE_SEIZE, unix.PTRACE_GETREGS, unix.PTRACE_SETREGS,
		unix.PTRACE_GETREGSET, unix.PTRACE_SETREGSET, unix.PTRACE_GETSIGINFO, unix.PTRACE_SETSIGMASK, unix.PTRACE_GET_SYSCALL_INFO,
	} {
		calls = append(calls, platform.HostSyscall{Nr: unix.SYS_PTRACE, Args: []platform.ArgRule{{Index: 0, Value: r}}})
	}
	return calls
}

// Close kills all stubs.
func (p *Platform) Close() error {
	p.mu.Lock()
	spaces := make([]*addressSpace, 0, len(p.spaces))
	for as := range p.spaces {
		spaces = append(spaces, as)
	}
	p.mu.Unlock()
	for _, as := range spaces {
		as.Release()
	}
	if p.master > 0 {
		unix.Kill(p.master, unix.SIGKILL)
		reap(p.master)
	}
	close(p.requests)
	<-p.done
	return nil
}
