// Package bpf runs classic BPF programs over packets, as SO_ATTACH_FILTER has them
// (socket(7); linux/filter.h, Documentation/networking/filter.rst).
package bpf

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// MaxLen is the longest program, in instructions (BPF_MAXINSNS).
const MaxLen = 4096

// An Instruction is a struct sock_filter.
type Instruction struct {
	Op     uint16
	Jt, Jf uint8
	K      uint32
}

// A Program is one that Check has found right.
type Program []Instruction

// Offsets that lead elsewhere than into the packet (linux/filter.h).
const (
	offAncillary = 0xfffff000 // SKF_AD_OFF
	offNetwork   = 0xfff00000 // SKF_NET_OFF
	offLink      = 0xffe00000 // SKF_LL_OFF
)

// What stands behind offAncillary.
const (
	adProtocol = 0
	adPktType  = 4
	adIfIndex  = 8
	adMark     = 20
	adHAType   = 28
	adCPU      = 36
	adVLAN     = 44 // the tag, if it is not among the data
	adVLANHere = 48
	adVLANType = 60
)

const scratch = 16 // BPF_MEMWORDS

// Check says whether a program may run: EINVAL if it could fall off its end, jump out of
// itself, or has an instruction that there is not.
func Check(p Program) error {
	if len(p) == 0 || len(p) > MaxLen || p[len(p)-1].Op&7 != unix.BPF_RET {
		return unix.EINVAL
	}
	for i, in := range p {
		left := uint32(len(p) - i - 1)
		ok := false
		switch in.Op & 7 {
		case unix.BPF_LD:
			switch in.Op {
			case unix.BPF_LD | unix.BPF_IMM, unix.BPF_LD | unix.BPF_W | unix.BPF_LEN:
				ok = true
			case unix.BPF_LD | unix.BPF_MEM:
				ok = in.K < scratch
			default:
				ok = (in.Op&0xe0 == unix.BPF_ABS || in.Op&0xe0 == unix.BPF_IND) && width(in.Op) != 0
			}
		case unix.BPF_LDX:
			switch in.Op {
			case unix.BPF_LDX | unix.BPF_IMM, unix.BPF_LDX | unix.BPF_W | unix.BPF_LEN, unix.BPF_LDX | unix.BPF_B | unix.BPF_MSH:
				ok = true
			case unix.BPF_LDX | unix.BPF_MEM:
				ok = in.K < scratch
			}
		case unix.BPF_ST, unix.BPF_STX:
			ok = in.Op&^7 == 0 && in.K < scratch
		case unix.BPF_ALU:
			switch op := in.Op & 0xf0; op {
			case unix.BPF_DIV, unix.BPF_MOD:
				ok = in.Op&unix.BPF_X != 0 || in.K != 0
			case unix.BPF_LSH, unix.BPF_RSH:
				ok = in.Op&unix.BPF_X != 0 || in.K < 32
			default:
				ok = op <= unix.BPF_XOR
			}
		case unix.BPF_JMP:
			switch in.Op & 0xf0 {
			case unix.BPF_JA:
				ok = in.Op == unix.BPF_JMP|unix.BPF_JA && in.K < left
			case unix.BPF_JEQ, unix.BPF_JGT, unix.BPF_JGE, unix.BPF_JSET:
				ok = uint32(in.Jt) < left && uint32(in.Jf) < left
			}
		case unix.BPF_RET:
			ok = in.Op&0x18 == unix.BPF_K || in.Op&0x18 == 0x10
		case unix.BPF_MISC:
			ok = in.Op&0xf8 == unix.BPF_TAX || in.Op&0xf8 == unix.BPF_TXA
		}
		if !ok {
			return unix.EINVAL
		}
	}
	return nil
}

func width(op uint16) int {
	switch op & 0x18 {
	case unix.BPF_W:
		return 4
	case unix.BPF_H:
		return 2
	case unix.BPF_B:
		return 1
	}
	return 0
}

// A Packet is what a program looks at.
type Packet struct {
	Data    []byte // what is there of the packet
	Len     int    // its length
	Network int    // where in Data the network header begins
	Start   int    // where in Data the program's own offsets count from
	// What ancillary loads give.
	Protocol, HAType uint16
	TagType, Tag     uint16
	PktType          uint8
	IfIndex, Mark    uint32
}

// load gives 1, 2 or 4 bytes at off; ok false ends the program.
func (p *Packet) load(off uint32, n int) (v uint32, ok bool) {
	at := int64(off)
	switch {
	case off >= offAncillary:
		switch off - offAncillary {
		case adProtocol:
			return uint32(p.Protocol), true
		case adPktType:
			return uint32(p.PktType), true
		case adIfIndex:
			return p.IfIndex, true
		case adMark:
			return p.Mark, true
		case adHAType:
			return uint32(p.HAType), true
		case adVLAN:
			return uint32(p.Tag), true
		case adVLANHere:
			return uint32(min(p.TagType, 1)), true
		case adVLANType:
			return uint32(p.TagType), true
		case adCPU:
			return 0, true
		}
		return 0, false
	case off >= offNetwork:
		at = int64(off-offNetwork) + int64(p.Network)
	case off >= offLink:
		at = int64(off - offLink)
	default:
		at += int64(p.Start)
	}
	if at+int64(n) > int64(len(p.Data)) {
		return 0, false
	}
	b := p.Data[at:]
	switch n {
	case 4:
		return binary.BigEndian.Uint32(b), true
	case 2:
		return uint32(binary.BigEndian.Uint16(b)), true
	}
	return uint32(b[0]), true
}

// Run returns how many bytes of the packet the program keeps; 0: it is not wanted. The
// program has been checked, so it ends: it only jumps forwards.
func (prog Program) Run(p *Packet) uint32 {
	var a, x uint32
	var mem [scratch]uint32
	for pc := 0; pc < len(prog); pc++ {
		in := &prog[pc]
		k := in.K
		switch in.Op & 7 {
		case unix.BPF_LD:
			switch in.Op & 0xe0 {
			case unix.BPF_IMM:
				a = k
			case unix.BPF_MEM:
				a = mem[k&(scratch-1)]
			case unix.BPF_LEN:
				a = uint32(p.Len)
			default:
				if in.Op&0xe0 == unix.BPF_IND {
					k += x
				}
				v, ok := p.load(k, width(in.Op))
				if !ok {
					return 0
				}
				a = v
			}
		case unix.BPF_LDX:
			switch in.Op & 0xe0 {
			case unix.BPF_IMM:
				x = k
			case unix.BPF_MEM:
				x = mem[k&(scratch-1)]
			case unix.BPF_LEN:
				x = uint32(p.Len)
			case unix.BPF_MSH:
				v, ok := p.load(k, 1)
				if !ok {
					return 0
				}
				x = v & 15 * 4
			}
		case unix.BPF_ST:
			mem[k&(scratch-1)] = a
		case unix.BPF_STX:
			mem[k&(scratch-1)] = x
		case unix.BPF_ALU:
			if in.Op&unix.BPF_X != 0 {
				k = x
			}
			switch in.Op & 0xf0 {
			case unix.BPF_ADD:
				a += k
			case unix.BPF_SUB:
				a -= k
			case unix.BPF_MUL:
				a *= k
			case unix.BPF_DIV, unix.BPF_MOD:
				if k == 0 {
					return 0
				}
				if in.Op&0xf0 == unix.BPF_DIV {
					a /= k
				} else {
					a %= k
				}
			case unix.BPF_OR:
				a |= k
			case unix.BPF_AND:
				a &= k
			case unix.BPF_XOR:
				a ^= k
			case unix.BPF_LSH:
				a <<= k & 31
			case unix.BPF_RSH:
				a >>= k & 31
			case unix.BPF_NEG:
				a = -a
			}
		case unix.BPF_JMP:
			if in.Op&unix.BPF_X != 0 {
				k = x
			}
			yes := false
			switch in.Op & 0xf0 {
			case unix.BPF_JA:
				pc += int(in.K)
				continue
			case unix.BPF_JEQ:
				yes = a == k
			case unix.BPF_JGT:
				yes = a > k
			case unix.BPF_JGE:
				yes = a >= k
			case unix.BPF_JSET:
				yes = a&k != 0
			}
			if yes {
				pc += int(in.Jt)
			} else {
				pc += int(in.Jf)
			}
		case unix.BPF_RET:
			if in.Op&0x18 == 0x10 { // BPF_A
				return a
			}
			return k
		case unix.BPF_MISC:
			if in.Op&0xf8 == unix.BPF_TAX {
				x = a
			} else {
				a = x
			}
		}
	}
	return 0
}
