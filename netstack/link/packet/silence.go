package packet

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"casemate/netstack/link/attach"
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
	return attach.Ingress(index, program)
}
