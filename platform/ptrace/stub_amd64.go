package ptrace

import (
	"encoding/binary"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// The stub page is all that the platform has in an application's address space.
const (
	stubBase = 0x7fff00000000
	// userEnd is the end of the addresses that a process can map (TASK_SIZE_MAX
	// with four-level page tables; a kernel with five levels gives out no more
	// unless asked to).
	userEnd = 0x7ffffffff000

	stubCall   = stubBase      // a system call, then a stop
	stubThread = stubBase + 16 // clone(2); the parent stops, the child waits to be seized
	stubWait   = stubThread + 9

	// What calls of the template point to.
	stubCapHeader = stubBase + 48 // struct __user_cap_header_struct
	stubCapData   = stubBase + 56 // struct __user_cap_data_struct, twice: no capability
	stubProg      = stubBase + 80 // struct sock_fprog, then the filter
)

// Where the stop after a call leaves the instruction pointer.
const (
	stubCallEnd   = stubCall + 3
	stubThreadEnd = stubThread + 7
)

// stubCalls are the system calls that the filter allows, from the stub page.
var stubCalls = []uint32{
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT,
	unix.SYS_CLONE, unix.SYS_PAUSE, unix.SYS_EXIT,
}

// stubPage returns the contents of the stub page. A call ends at a breakpoint. Once,
// on a virtual machine, a stub ran on behind it (why is not known); so it would only
// come to the breakpoint again.
func stubPage() []byte {
	p := make([]byte, arch.PageSize)
	copy(p[stubCall-stubBase:], []byte{
		0x0f, 0x05, // syscall
		0xcc,       // 1: int3
		0xeb, 0xfd, // jmp 1b
	})
	copy(p[stubThread-stubBase:], []byte{
		0x0f, 0x05, // syscall
		0x85, 0xc0, // test %eax,%eax
		0x74, 0x03, // jz 2f
		0xcc,       // 1: int3
		0xeb, 0xfd, // jmp 1b
		0xb8, unix.SYS_PAUSE, 0, 0, 0, // 2: mov $SYS_pause,%eax
		0x0f, 0x05, // syscall
		0xeb, 0xf7, // jmp 2b
	})
	binary.LittleEndian.PutUint32(p[stubCapHeader-stubBase:], unix.LINUX_CAPABILITY_VERSION_3)
	filter := stubFilter()
	prog := p[stubProg-stubBase:]
	binary.LittleEndian.PutUint16(prog, uint16(len(filter)))
	binary.LittleEndian.PutUint64(prog[8:], stubProg+16)
	for i, f := range filter {
		b := prog[16+8*i:]
		binary.LittleEndian.PutUint16(b, f.Code)
		b[2], b[3] = f.Jt, f.Jf
		binary.LittleEndian.PutUint32(b[4:], f.K)
	}
	return p
}

// stubFilter returns the seccomp filter under which stubs run.
func stubFilter() []unix.SockFilter {
	// Offsets in struct seccomp_data.
	const nr, archOff, ipLow, ipHigh = 0, 4, 8, 12
	const (
		load   = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		jeq    = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		ret    = unix.BPF_RET | unix.BPF_K
		and    = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		base   = uint64(stubBase)
		refuse = unix.SECCOMP_RET_TRAP
	)
	f := []unix.SockFilter{
		{Code: load, K: archOff},
		{Code: jeq, K: unix.AUDIT_ARCH_X86_64, Jt: 1},
		{Code: ret, K: refuse},
		{Code: load, K: ipHigh},
		{Code: jeq, K: uint32(base >> 32), Jt: 1},
		{Code: ret, K: refuse},
		{Code: load, K: ipLow},
		{Code: and, K: ^uint32(arch.PageMask)},
		{Code: jeq, K: uint32(base & 0xffffffff), Jt: 1},
		{Code: ret, K: refuse},
		{Code: load, K: nr},
	}
	for i, n := range stubCalls {
		f = append(f, unix.SockFilter{Code: jeq, K: n, Jt: uint8(len(stubCalls) - i)})
	}
	return append(f,
		unix.SockFilter{Code: ret, K: refuse},
		unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}
