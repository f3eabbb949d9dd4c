//go:build amd64

package systrap

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// decide interprets the filter for one call.
func decide(t *testing.T, prog []unix.SockFilter, ip uint64, arch, nr uint32, args [6]uint64) uint32 {
	t.Helper()
	var data [64]byte
	binary.LittleEndian.PutUint32(data[dataNr:], nr)
	binary.LittleEndian.PutUint32(data[dataArch:], arch)
	binary.LittleEndian.PutUint64(data[dataIPLow:], ip)
	for i, v := range args {
		binary.LittleEndian.PutUint64(data[argLow(i):], v)
	}
	var a, x uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		}
		switch in.Code {
		case bpfLoad:
			a = binary.LittleEndian.Uint32(data[in.K:])
		case bpfConst:
			a = in.K
		case bpfTAX:
			x = a
		case bpfAnd:
			a &= in.K
		case bpfRsh:
			a >>= in.K
		case bpfRshX:
			a >>= x
		case bpfJEQ:
			jump(a == in.K)
		case bpfJGE:
			jump(a >= in.K)
		case bpfJGT:
			jump(a > in.K)
		case bpfJSet:
			jump(a&in.K != 0)
		case bpfJump:
			pc += int(in.K)
		case bpfRet:
			return in.K
		default:
			t.Fatalf("instruction %#x", in.Code)
		}
	}
	t.Fatal("the filter has no end")
	return 0
}

const native = unix.AUDIT_ARCH_X86_64

// Of the application's calls some are notified and the others trapped, wherever they
// come from; none goes to the host.
func TestFilterApplication(t *testing.T) {
	prog := filter(fullState, false)
	want := func(ip uint64, arch, nr uint32, arg1 uint64, want uint32) {
		t.Helper()
		if got := decide(t, prog, ip, arch, nr, [6]uint64{0, arg1}); got != want {
			t.Errorf("call %d(_, %#x) at %#x, architecture %#x: %#x, want %#x", nr, arg1, ip, arch, got, want)
		}
	}
	const notif, trap = unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_TRAP
	for _, ip := range []uint64{0, textAddr, stubText - 1, stubText - 1<<32 + 0x102, stubText + stubSize, stubText + 1<<32, ^uint64(0)} {
		for nr := range uint32(1024) {
			action := uint32(trap)
			if slices.Contains(notified, nr) && !slices.Contains(fullState, uintptr(nr)) {
				action = notif
			}
			if nr != unix.SYS_FCNTL && nr != unix.SYS_IOCTL {
				want(ip, native, nr, 0, action)
			}
			want(ip, unix.AUDIT_ARCH_I386, nr, 0, trap)
		}
		for _, nr := range []uint32{1 << 9, 1<<30 + unix.SYS_READ, 1<<31 - 1, 1 << 31, ^uint32(0)} {
			want(ip, native, nr, 0, trap)
		}
		want(ip, native, unix.SYS_FCNTL, unix.F_GETFL, notif)
		want(ip, native, unix.SYS_FCNTL, unix.F_SETLKW, notif)
		want(ip, native, unix.SYS_FCNTL, unix.F_SETOWN, trap)
		want(ip, native, unix.SYS_FCNTL, unix.F_SETLEASE, trap)
		want(ip, native, unix.SYS_FCNTL, 1<<32-1, trap)
		want(ip, native, unix.SYS_IOCTL, unix.TCGETS, notif)
		want(ip, native, unix.SYS_IOCTL, fionbio, notif)
		want(ip, native, unix.SYS_IOCTL, unix.TIOCSTI, trap)
	}
}

// What the application's calls must not be notified for, lest a sentry that has been
// taken over lets the host carry them out: new sockets, processes and namespaces, other
// programs' memory, privileges, mounts, and what else is not for those who have
// descriptors only.
func TestFilterForbidden(t *testing.T) {
	for _, nr := range []uint32{
		unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_SETSOCKOPT,
		unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_FORK, unix.SYS_VFORK, unix.SYS_EXECVE, unix.SYS_EXECVEAT,
		unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
		unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_GETFD, unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_PRCTL, unix.SYS_ARCH_PRCTL, unix.SYS_SECCOMP,
		unix.SYS_PRLIMIT64, unix.SYS_SETRLIMIT, unix.SYS_PERSONALITY, unix.SYS_IOPL, unix.SYS_IOPERM, unix.SYS_MODIFY_LDT,
		unix.SYS_SETUID, unix.SYS_SETGID, unix.SYS_SETRESUID, unix.SYS_SETGROUPS, unix.SYS_CAPSET,
		unix.SYS_MOUNT, unix.SYS_UMOUNT2, unix.SYS_PIVOT_ROOT, unix.SYS_CHROOT, unix.SYS_OPEN_TREE, unix.SYS_MOVE_MOUNT,
		unix.SYS_FSOPEN, unix.SYS_FSMOUNT, unix.SYS_MOUNT_SETATTR, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_NAME_TO_HANDLE_AT,
		unix.SYS_UNLINKAT, unix.SYS_MKDIRAT, unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2, unix.SYS_LINKAT, unix.SYS_SYMLINKAT, unix.SYS_MKNODAT,
		unix.SYS_FCHMOD, unix.SYS_FCHMODAT, unix.SYS_FCHOWN, unix.SYS_FCHOWNAT, unix.SYS_UTIMENSAT, unix.SYS_SETXATTR, unix.SYS_FSETXATTR,
		unix.SYS_BPF, unix.SYS_PERF_EVENT_OPEN, unix.SYS_USERFAULTFD, unix.SYS_MEMFD_SECRET,
		unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER, unix.SYS_IO_SUBMIT,
		unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY, unix.SYS_INIT_MODULE, unix.SYS_FINIT_MODULE, unix.SYS_KEXEC_LOAD,
		unix.SYS_SPLICE, unix.SYS_TEE, unix.SYS_VMSPLICE, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_MREMAP, unix.SYS_SHMGET, unix.SYS_SHMAT,
	} {
		if slices.Contains(notified, nr) {
			t.Errorf("call %d", nr)
		}
	}
}

// The stub's instructions make the calls that they are for, as the sentry orders them.
func TestFilterStub(t *testing.T) {
	const notif, allow, kill = unix.SECCOMP_RET_USER_NOTIF, unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_KILL_PROCESS
	type sample struct {
		ip   uint64
		nr   uint32
		args [6]uint64
		want uint32
	}
	const fd, off = 7, 0x100000
	const futexLockPI = 6
	samples := []sample{
		{ipHandoff, nrHandoff, [6]uint64{kindDone}, notif},
		{ipFastSleep, unix.SYS_FUTEX, [6]uint64{stubAreas + areaRequest, futexWait, requestAsleep}, allow},
		{ipFastSleep, unix.SYS_FUTEX, [6]uint64{stubAreas + areaRequest, futexWake, requestAsleep}, kill},
		{ipFastSleep, unix.SYS_FUTEX, [6]uint64{stubAreas + areaRequest, futexLockPI}, kill},
		{ipFastSleep, unix.SYS_FUTEX, [6]uint64{stubAreas + areaRequest, futexWait, requestAsleep, dataAddr}, kill},
		{ipFastSleep, unix.SYS_FUTEX, [6]uint64{dataAddr, futexWait, requestAsleep}, kill},
		{ipSigreturn, unix.SYS_RT_SIGRETURN, [6]uint64{}, allow},
		{ipNewProcess, unix.SYS_MMAP, [6]uint64{stubAreas, chunkSize, 3, 0x11, fd, off}, notif},
		{ipNewProcess, unix.SYS_MMAP, [6]uint64{stubAreas, chunkSize, 7, 0x11, fd, off}, kill},
		{ipNewProcess, unix.SYS_MMAP, [6]uint64{stubAreas, chunkSize, 3, 0x31, fd, off}, kill},
		{ipNewThread, unix.SYS_SIGALTSTACK, [6]uint64{stubTable}, notif},
		{ipNewThread, unix.SYS_SIGALTSTACK, [6]uint64{stubTable, 1 << 32}, kill},
		{ipClone, unix.SYS_CLONE, [6]uint64{processFlags}, notif},
		{ipClone, unix.SYS_CLONE, [6]uint64{threadFlags, stubAreas}, notif},
		{ipCall, unix.SYS_MUNMAP, [6]uint64{0, stubStart}, notif},
		{ipCall, unix.SYS_MPROTECT, [6]uint64{textAddr, 0x1000, 7}, notif},
		{ipCall, unix.SYS_MPROTECT, [6]uint64{textAddr, 0x1000, 8}, kill},
		{ipCall, unix.SYS_MPROTECT, [6]uint64{textAddr, 0x1000, 1 << 32}, kill},
		{ipCall, unix.SYS_SIGALTSTACK, [6]uint64{stubTable}, notif},
		{ipCall, unix.SYS_SIGALTSTACK, [6]uint64{stubTable, stubAreas}, kill},
		{ipCall, unix.SYS_GETPID, [6]uint64{}, notif},
	}
	for _, prot := range []uint64{0, 1, 2, 3, 5, 7, 8, 1 << 24, 1 << 32} {
		for _, flags := range []uint64{0, unix.MAP_SHARED, unix.MAP_PRIVATE, unix.MAP_SHARED_VALIDATE} {
			for _, more := range []uint64{0, unix.MAP_FIXED, unix.MAP_FIXED | unix.MAP_POPULATE, unix.MAP_FIXED | unix.MAP_ANONYMOUS,
				unix.MAP_FIXED | unix.MAP_GROWSDOWN, unix.MAP_FIXED | unix.MAP_LOCKED, unix.MAP_FIXED | 1<<32} {
				want := uint32(kill)
				if prot <= 7 && (flags == unix.MAP_SHARED || flags == unix.MAP_PRIVATE) && more&^unix.MAP_POPULATE == unix.MAP_FIXED {
					want = notif
				}
				samples = append(samples, sample{ipCall, unix.SYS_MMAP, [6]uint64{textAddr, 0x1000, prot, flags | more, fd, off}, want})
			}
		}
	}
	for bit := range 64 {
		for _, flags := range []uint64{processFlags, threadFlags} {
			samples = append(samples, sample{ipClone, unix.SYS_CLONE, [6]uint64{flags ^ 1<<bit}, kill})
		}
	}
	own := map[uint64][]uint32{
		ipHandoff: {nrHandoff}, ipFastSleep: {unix.SYS_FUTEX}, ipSigreturn: {unix.SYS_RT_SIGRETURN},
		ipNewProcess: {unix.SYS_MMAP}, ipNewThread: {unix.SYS_SIGALTSTACK}, ipClone: {unix.SYS_CLONE},
		ipCall:     {unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_SIGALTSTACK, unix.SYS_GETPID},
		ipDeathSig: {unix.SYS_PRCTL}, ipParent: {unix.SYS_GETPPID},
	}
	for ip := uint64(stubText); ip < stubText+stubSize; ip++ {
		for _, nr := range []uint32{unix.SYS_READ, unix.SYS_OPENAT, unix.SYS_SOCKET, unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
			unix.SYS_MREMAP, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_EXECVE, unix.SYS_SIGALTSTACK, unix.SYS_RT_SIGRETURN,
			unix.SYS_PRCTL, unix.SYS_GETPPID, unix.SYS_GETPID, unix.SYS_UNSHARE, unix.SYS_FUTEX, nrHandoff, ^uint32(0)} {
			if !slices.Contains(own[ip], nr) {
				samples = append(samples, sample{ip, nr, [6]uint64{}, kill})
			}
		}
	}
	for _, orphans := range []bool{true, false} {
		prog := filter(fullState, orphans)
		if orphans {
			samples = append(samples,
				sample{ipDeathSig, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_PDEATHSIG, uint64(unix.SIGKILL)}, allow},
				sample{ipParent, unix.SYS_GETPPID, [6]uint64{}, allow},
				sample{ipDeathSig, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_DUMPABLE, uint64(unix.SIGKILL)}, kill},
				sample{ipDeathSig, unix.SYS_PRCTL, [6]uint64{unix.PR_SET_PDEATHSIG, 1<<32 | uint64(unix.SIGKILL)}, kill})
		}
		for _, s := range samples {
			want := s.want
			if !orphans && (s.ip == ipDeathSig || s.ip == ipParent) {
				want = kill
			}
			if got := decide(t, prog, s.ip, native, s.nr, s.args); got != want {
				t.Errorf("call %d%#x at offset %#x: %#x, want %#x", s.nr, s.args, s.ip-stubText, got, want)
			}
		}
	}
}

// A sentry that has been taken over lets every call go on. What the application and it
// can do together on the host shows in the results: nothing but what is done to
// descriptors that the sentry has.
func TestHostileSentry(t *testing.T) {
	p := open(t)
	w := newWitness(t)
	path := w.canary + "\x00"
	const other = 0x8000 // in data: another name
	type attempt struct {
		nr    uint64
		args  []uint64
		errno unix.Errno // 0: trapped
	}
	attempts := []attempt{
		{unix.SYS_OPEN, []uint64{dataAddr, unix.O_RDONLY}, unix.EMFILE},
		{unix.SYS_OPENAT, []uint64{unix.AT_FDCWD & (1<<64 - 1), dataAddr, unix.O_RDWR}, unix.EMFILE},
		{unix.SYS_DUP, []uint64{uint64(w.fd)}, unix.EMFILE},
		{unix.SYS_FCNTL, []uint64{uint64(w.fd), unix.F_DUPFD, 0}, unix.EINVAL},
		{unix.SYS_DUP2, []uint64{uint64(w.fd), 1000}, unix.EBADF},
		{unix.SYS_PIPE2, []uint64{dataAddr + other, 0}, unix.EMFILE},
	}
	for _, nr := range []uint64{unix.SYS_SOCKET, unix.SYS_UNSHARE, unix.SYS_CLONE3, unix.SYS_EXECVE, unix.SYS_MMAP, unix.SYS_BPF,
		unix.SYS_PRCTL, unix.SYS_PTRACE, unix.SYS_FCHMOD, unix.SYS_UNLINKAT, unix.SYS_PRLIMIT64, unix.SYS_MEMFD_CREATE} {
		attempts = append(attempts, attempt{nr, []uint64{unix.AF_INET, dataAddr, dataAddr, 0, 0, 0}, 0})
	}
	const flag, results = 0x4000, 0x5000
	text := new(code).call(unix.SYS_READ)
	loop := text.mov(bx, dataAddr+flag).here()
	text.load(ax, bx, 0).raw(0x48, 0x85, 0xc0, 0x74) // test %rax,%rax; jz loop
	text.raw(byte(loop - text.here() - 1))
	for i, a := range attempts {
		text.call(a.nr, a.args...).mov(bx, dataAddr+results).store(bx, uint32(8*i), ax)
	}
	text.mov(bx, dataAddr+flag).mov(ax, 2).store(bx, 0, ax)
	end := text.here()
	text.jmp(end)
	g := newGuest(t, p, text)
	copy(g.mem[guestSize:], path)
	g.newTask().start(g.as)

	// The workers leave; from here on this is the sentry.
	p.spares.close()
	p.closing.Store(true)
	p.template.Lock()
	tt := p.template.t
	tt.mu.Lock()
	tt.calls, tt.next = []call{{unix.SYS_GETPID, [6]uint64{}}}, 0
	for done := false; !done; {
		tt.area.putCalls(tt.calls)
		tt.answer(phaseCalls, cmdCalls|1<<cmdCountShift, 0)
		select {
		case <-p.stopped:
			done = true
		case <-tt.done:
			tt.next = 0
		}
	}
	tt.mu.Unlock()
	p.template.Unlock()
	g.setData(flag, 1)
	trapped := map[int32]bool{}
	continued := map[int32]bool{}
	deadline := time.Now().Add(20 * time.Second)
	for g.data(flag) != 2 {
		if time.Now().After(deadline) {
			t.Fatalf("continued %v, trapped %v", continued, trapped)
		}
		var n notification
		if !pollListener(p.listener, deathTick) || receive(p.listener, &n) != 0 {
			continue
		}
		r := response{id: n.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if n.ip == ipHandoff && n.args[0] == uint64(unix.SIGSYS) {
			a := g.as.(*space).proc.threads[0].area
			off := n.args[2] - stubAreas
			trapped[a.frame(off).info.syscall] = true
			r = response{id: n.id, val: int64(cmdResume | off<<cmdFrameShift)}
		} else {
			continued[n.nr] = true
		}
		respond(p.listener, &r)
	}
	for i, a := range attempts {
		if a.errno == 0 {
			if !trapped[int32(a.nr)] {
				t.Errorf("call %d was not trapped", a.nr)
			}
			continue
		}
		if got := g.data(results + 8*i); got != -uint64(a.errno) || !continued[int32(a.nr)] {
			t.Errorf("call %d: %d, want %v; notified: %v", a.nr, int64(got), a.errno, continued[int32(a.nr)])
		}
	}
	w.check("a hostile sentry")
	if fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", os.Getpid())); err != nil || len(fds) > 64 {
		t.Errorf("%d descriptors, %v", len(fds), err)
	}
	g.as.(*space).proc.kill()
}
