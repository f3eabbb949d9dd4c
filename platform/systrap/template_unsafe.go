//go:build amd64

package systrap

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"casemate/platform"

	"golang.org/x/sys/cpu"
	"golang.org/x/sys/unix"
)

//lint:ignore U1000 its address is taken in assembly
func stub()
func stubAddr() unsafe.Pointer

// A launch is what the template's first code, startTemplate's child, works on.
type launch struct {
	count uint64 // of calls
	entry uint64 // where it goes on then, with
	area  uint64 // this area and
	cmd   uint64 // this command
	pid   uint64 // its process ID
	_     [3]uint64
	calls [96]struct {
		call
		_ uint64
	}

	// What the calls point to. It is here because a launch is on the heap and so
	// does not move.
	actions   [2]sigaction
	capHeader unix.CapUserHeader
	capData   [2]unix.CapUserData // none
}

// startTemplate clones this process. The child makes l's calls and enters the
// stub.
//
//go:noescape
func startTemplate(l *launch) (errno uintptr)

func (l *launch) add(nr uint64, args ...uint64) {
	c := &l.calls[l.count]
	c.nr = nr
	copy(c.args[:], args)
	l.count++
}

// A sigaction is the kernel's struct sigaction.
type sigaction struct {
	handler, flags, restorer, mask uint64
}

// Flags of sigaction(2).
const (
	saSiginfo  = 4
	saRestorer = 0x04000000
	saOnStack  = 0x08000000
	saRestart  = 0x10000000
)

// Open starts the platform. It fails, with an error that says why, on a host that
// cannot run it; it needs Linux 5.19, FSGSBASE, and that no filter forbids
// seccomp.
func Open(options platform.Options) (platform.Platform, error) {
	p := &Platform{
		options:  options,
		listener: -1,
		text:     -1,
		stopped:  make(chan struct{}),
		over:     make(chan struct{}),
		anchor:   make(chan struct{}),
	}
	if pid := os.Getpid(); pid != 1 {
		p.parent = uint64(pid)
	}
	p.births.m = make(map[uint64]*birth)
	p.marks.Store(1)
	p.spinner.init()
	p.watch.init()
	for _, nr := range options.FullStateSyscalls {
		p.full[nr&(fullNumbers-1)] = true
	}
	if err := p.open(); err != nil {
		p.Close()
		return nil, fmt.Errorf("systrap: %w", err)
	}
	return p, nil
}

func (p *Platform) open() (err error) {
	if !hasFSGSBase() {
		return fmt.Errorf("the processor or the kernel does not offer FSGSBASE: %w", unix.ENOTSUP)
	}
	p.low = minAddr()
	if p.areas, err = newAreas(); err != nil {
		return fmt.Errorf("creating shared memory: %w", err)
	}
	if err = p.writeText(); err != nil {
		return fmt.Errorf("writing the stub: %w", err)
	}
	chunk, e := p.areas.allocate()
	if e != 0 {
		return e
	}
	a := p.areas.at(chunk, 0)

	prog := filter(p.options.FullStateSyscalls, p.parent != 0)

	l := new(launch)
	l.actions[1] = sigaction{stubText + offHandler, saSiginfo | saOnStack | saRestorer | saRestart, stubText + offSigreturn, ^uint64(0)}
	l.capHeader.Version = unix.LINUX_CAPABILITY_VERSION_3
	l.add(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL))
	l.add(unix.SYS_MMAP, stubText, stubTextSize, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_FIXED, uint64(p.text), 0)
	l.add(unix.SYS_MMAP, stubTitle, titleSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_FIXED, noFD, 0)
	l.add(unix.SYS_MMAP, stubTable, uint64(tableSize), unix.PROT_READ, unix.MAP_SHARED|unix.MAP_FIXED, uint64(p.areas.tableFD), 0)
	l.add(unix.SYS_MMAP, stubAreas, chunkSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED, uint64(p.areas.fd), chunk)
	for sig := uint64(1); sig <= 64; sig++ {
		if sig == uint64(unix.SIGKILL) || sig == uint64(unix.SIGSTOP) {
			continue
		}
		act := &l.actions[0]
		switch unix.Signal(sig) {
		case unix.SIGSYS, unix.SIGSEGV, unix.SIGBUS, unix.SIGILL, unix.SIGFPE, unix.SIGTRAP, interruptSignal:
			act = &l.actions[1]
		}
		l.add(unix.SYS_RT_SIGACTION, sig, uint64(uintptr(unsafe.Pointer(act))), 0, 8)
	}
	l.add(unix.SYS_PRCTL, unix.PR_SET_DUMPABLE, 0)
	l.add(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1)
	l.add(unix.SYS_CAPSET, uint64(uintptr(unsafe.Pointer(&l.capHeader))), uint64(uintptr(unsafe.Pointer(&l.capData))))
	l.add(unix.SYS_SIGALTSTACK, p.areas.stack(0), 0)

	// From here on nothing but the stub's own memory is used.
	const progOffset = stackStart + 64
	fprog := (*struct {
		len  uint64
		prog uint64
	})(unsafe.Pointer(&a.mem[stackStart]))
	fprog.len, fprog.prog = uint64(len(prog)), stubAreas+progOffset
	for i := range prog {
		*(*unix.SockFilter)(unsafe.Pointer(&a.mem[progOffset+8*i])) = prog[i]
	}
	calls := []call{
		{unix.SYS_MUNMAP, [6]uint64{0, stubStart}},
		{unix.SYS_MUNMAP, [6]uint64{stubTitle + titleSize, stubTable - stubTitle - titleSize}},
		{unix.SYS_MUNMAP, [6]uint64{stubTable + uint64(tableSize), stubAreas - stubTable - uint64(tableSize)}},
		{unix.SYS_MUNMAP, [6]uint64{stubAreas + chunkSize, stubEnd - stubAreas - chunkSize}},
		{unix.SYS_SECCOMP, [6]uint64{unix.SECCOMP_SET_MODE_FILTER,
			unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, stubAreas + stackStart}},
	}
	a.putCalls(calls)
	for i := range calls {
		*a.word(areaCalls + i*callSize + 56) = unset
	}
	l.entry, l.area = stubText+offLoad, stubAreas
	l.cmd = cmdCalls | uint64(len(calls))<<cmdCountShift

	var pid int
	err = withTitlePage(func() (err error) {
		pid, err = p.start(l)
		return err
	})
	if err != nil {
		return fmt.Errorf("cloning: %w", err)
	}
	proc := p.newProcess([]uint64{chunk})
	t := newThread(proc, pid, 0)
	proc.threads = []*thread{t}
	p.tids.set(uint32(pid), t)
	reaper.add(proc, pid)
	if err = p.awaitListener(proc, a, len(calls)); err != nil {
		proc.kill()
		return err
	}
	// No stub makes a descriptor, whatever the sentry should let it do. (Not earlier:
	// the listener is one.)
	if err = unix.Prlimit(pid, unix.RLIMIT_NOFILE, &unix.Rlimit{}, nil); err != nil {
		proc.kill()
		return fmt.Errorf("limiting the stubs' descriptors: %w", err)
	}
	wakeSync(p.listener)
	w := p.idleWorker()
	t.phase.Store(phaseCalls) // of which we have seen none
	p.role.Store(&w.listening)
	p.launch(w)
	t.mu.Lock()
	e = t.await(t.done).errno
	if e == 0 {
		e = t.setTitle("stub", "runsc stub")
	}
	t.mu.Unlock()
	if e != 0 {
		proc.kill()
		return fmt.Errorf("the template: %w", e)
	}
	p.template.t = t
	go p.watchAll()
	return nil
}

// noFD stands for no descriptor in the arguments of mmap(2).
const noFD = ^uint64(0)

// unset is the result of a call that has not been made. No call returns it.
const unset = 1 << 62

// awaitListener waits for the template to have its filter.
func (p *Platform) awaitListener(proc *process, a area, calls int) error {
	for range 50000 {
		for i := range calls {
			v := a.result(i)
			if e := -int64(v); e > 0 && e < 4096 {
				return fmt.Errorf("template's call %d: %w", i, unix.Errno(e))
			}
			if i == calls-1 && v != unset {
				p.listener = int(v)
				return nil
			}
		}
		select {
		case <-proc.gone:
			return fmt.Errorf("the template has died: %w", unix.ESRCH)
		case <-time.After(100 * time.Microsecond):
		}
	}
	return fmt.Errorf("the template: %w", unix.ETIMEDOUT)
}

// start clones the template from a thread that lives as long as p: when the
// parent's thread ends, the child gets its PR_SET_PDEATHSIG signal.
func (p *Platform) start(l *launch) (int, error) {
	type result struct {
		pid   int
		errno syscall.Errno
	}
	c := make(chan result)
	go func() {
		runtime.LockOSThread()
		all, old := ^uint64(0), uint64(0)
		unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&all)), uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		e := startTemplate(l)
		unix.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&old)), 0, 8, 0, 0)
		c <- result{int(l.pid), syscall.Errno(e)}
		<-p.anchor
		runtime.UnlockOSThread()
	}()
	r := <-c
	if r.errno != 0 {
		return 0, r.errno
	}
	return r.pid, nil
}

// Instructions, or how they begin.
const (
	syscallInstruction = "\x0f\x05"
	pushfq             = "\x9c"
	popfq              = "\x9d"
	ud2                = "\x0f\x0b"
	int3               = 0xcc
)

// landmarks are the instructions at which the platform knows the stub.
var landmarks = map[int]string{
	offHandoff: syscallInstruction, offSigreturn: syscallInstruction, offCall: syscallInstruction,
	offClone: syscallInstruction, offNewProcess: syscallInstruction, offNewThread: syscallInstruction,
	offDeathSig: syscallInstruction, offParent: syscallInstruction, offFastSleep: syscallInstruction,
	offPush: pushfq, offReturn: popfq, offSlow: popfq,
	offPost:    "\x65\xc7\x04\x25", // MOVL $, GS:
	offLent:    "\x65\x89\x04\x25", // MOVL AX, GS:
	offLookup:  "\x3d",             // CMPL AX, $
	offPublish: "\xf0\x0f\xb1\x17", // LOCK CMPXCHGL DX, (DI)
	stubSize:   ud2,
}

// writeText makes the file with the stub's code.
func (p *Platform) writeText() error {
	code := unsafe.Slice((*byte)(stubAddr()), stubSize+len(ud2))
	for off, want := range landmarks {
		if !bytes.HasPrefix(code[off:], []byte(want)) {
			return fmt.Errorf("the stub has not %x at offset %#x", want, off)
		}
	}
	var err error
	if p.text, err = unix.MemfdCreate("systrap-stub", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err != nil {
		return err
	}
	page := make([]byte, stubTextSize)
	for i := range page {
		page[i] = int3
	}
	copy(page, code[:stubSize])
	if _, err = unix.Write(p.text, page); err != nil {
		return err
	}
	_, err = unix.FcntlInt(uintptr(p.text), unix.F_ADD_SEALS, unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL)
	return err
}

// hasFSGSBase says whether programs may use RDFSBASE (AT_HWCAP2 bit 1).
func hasFSGSBase() bool {
	const (
		atHWCap2        = 26
		hwcap2FSGSBase  = 1 << 1
		auxvEntryLength = 16
	)
	if !cpu.X86.HasOSXSAVE {
		return false
	}
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return false
	}
	for ; len(auxv) >= auxvEntryLength; auxv = auxv[auxvEntryLength:] {
		if binary.LittleEndian.Uint64(auxv) == atHWCap2 {
			return binary.LittleEndian.Uint64(auxv[8:])&hwcap2FSGSBase != 0
		}
	}
	return false
}

// minAddr is the lowest address that can be mapped.
func minAddr() uint64 {
	const usual = 0x10000
	text, err := os.ReadFile("/proc/sys/vm/mmap_min_addr")
	if err != nil {
		return usual
	}
	v, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return usual
	}
	return max((v+0xfff)&^0xfff, 0x1000)
}
