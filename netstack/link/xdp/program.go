package xdp

import (
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"casemate/netstack/link/attach"
)

// receiveQueue is the offset of rx_queue_index in struct xdp_md, and pass is XDP_PASS
// (<linux/bpf.h>).
const (
	receiveQueue = 16
	pass         = 2
)

// load loads a program that redirects the frames of each queue to its socket, those of
// queues without one to the host's stack, and puts it at the device with that index. fds are
// pairs of a socket and its memory. The descriptor that it returns holds the program there.
func load(index int, fds []int) (fd int, err error) {
	sockets, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: uint32(len(fds) / 2)})
	if err != nil {
		return -1, err
	}
	defer sockets.Close()
	for queue := range len(fds) / 2 {
		if err := sockets.Put(uint32(queue), uint32(fds[2*queue])); err != nil {
			return -1, fmt.Errorf("the map of queue %d: %w", queue, err)
		}
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP,
		Instructions: asm.Instructions{
			// return bpf_redirect_map(&sockets, ctx->rx_queue_index, XDP_PASS)
			asm.LoadMem(asm.R2, asm.R1, receiveQueue, asm.Word),
			asm.LoadMapPtr(asm.R1, sockets.FD()),
			asm.Mov.Imm(asm.R3, pass),
			asm.FnRedirectMap.Call(),
			asm.Return(),
		},
	})
	if err != nil {
		return -1, err
	}
	defer program.Close()
	return attach.XDP(index, program)
}
