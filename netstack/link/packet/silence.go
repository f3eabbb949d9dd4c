package packet

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// drop is TCX_DROP (<linux/bpf.h>).
const drop = 2

// Silence keeps what the interface with that index in the caller's network namespace receives from
// the host's own stack; packet sockets get it before. Without addresses the stack would do nothing
// with it but find that out, at the sender's expense on a veth pair. The program that does it stays
// there for as long as the descriptor is open. It needs CAP_BPF and CAP_NET_ADMIN, and Linux 6.6.
func Silence(index int) (fd int, err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SchedCLS,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, drop), asm.Return()},
	})
	if err != nil {
		return -1, err
	}
	defer program.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: index, Program: program, Attach: ebpf.AttachTCXIngress})
	if err != nil {
		return -1, err
	}
	defer l.Close()
	held, ok := l.(interface{ FD() int })
	if !ok {
		return -1, unix.EOPNOTSUPP
	}
	return unix.FcntlInt(uintptr(held.FD()), unix.F_DUPFD_CLOEXEC, 0)
}
