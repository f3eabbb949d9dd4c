package kernel

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzSeccompFilter runs every program that is accepted: it ends, and touches nothing
// but its own memory.
func FuzzSeccompFilter(f *testing.F) {
	encode := func(prog ...unix.SockFilter) []byte {
		var b []byte
		for _, in := range prog {
			b = append(binary.LittleEndian.AppendUint16(b, in.Code), in.Jt, in.Jf)
			b = binary.LittleEndian.AppendUint32(b, in.K)
		}
		return b
	}
	f.Add(encode(unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW}))
	f.Add(encode(unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 1, K: 39},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_KILL_PROCESS}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A}))
	f.Add(encode(unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_IMM, K: 3}, unix.SockFilter{Code: unix.BPF_ST, K: 15}, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_MEM, K: 15},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_DIV | unix.BPF_X}, unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_LSH | unix.BPF_X}, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A}))
	f.Fuzz(func(t *testing.T, code []byte) {
		var prog []unix.SockFilter
		for ; len(code) >= 8; code = code[8:] {
			prog = append(prog, unix.SockFilter{Code: binary.LittleEndian.Uint16(code), Jt: code[2], Jf: code[3], K: binary.LittleEndian.Uint32(code[4:])})
		}
		filter, err := NewSeccompFilter(prog, false)
		if err != nil {
			return
		}
		var data [seccompDataSize]byte
		for i := range data {
			data[i] = byte(i * 37)
		}
		if a, b := filter.run(&data), filter.run(&data); a != b {
			t.Fatalf("the same data gives %#x and %#x", a, b)
		}
	})
}
