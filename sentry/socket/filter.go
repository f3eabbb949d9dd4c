package socket

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/bpf"
	"casemate/vfs"
)

// Program reads and checks the program of a struct sock_fprog (SO_ATTACH_FILTER). EINVAL,
// EFAULT.
func Program(ctx *vfs.Context, value []byte) (bpf.Program, error) {
	if len(value) < 16 {
		return nil, unix.EINVAL
	}
	n, at := int(binary.NativeEndian.Uint16(value)), binary.NativeEndian.Uint64(value[8:])
	if n == 0 || n > bpf.MaxLen {
		return nil, unix.EINVAL
	}
	code := make([]byte, 8*n)
	if _, err := ctx.Mem.CopyIn(code, at); err != nil {
		return nil, err
	}
	p := make(bpf.Program, n)
	for i := range p {
		c := code[8*i:]
		p[i] = bpf.Instruction{Op: binary.NativeEndian.Uint16(c), Jt: c[2], Jf: c[3], K: binary.NativeEndian.Uint32(c[4:])}
	}
	return p, bpf.Check(p)
}
