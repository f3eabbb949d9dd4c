package bpf

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"
)

// udpPort53 is what tcpdump -dd makes of "udp dst port 53" over IPv4 on Ethernet.
var udpPort53 = Program{
	{0x28, 0, 0, 12}, {0x15, 0, 8, 0x800}, {0x30, 0, 0, 23}, {0x15, 0, 6, 17}, {0x28, 0, 0, 20},
	{0x45, 4, 0, 0x1fff}, {0xb1, 0, 0, 14}, {0x48, 0, 0, 16}, {0x15, 0, 1, 53}, {0x6, 0, 0, 262144}, {0x6, 0, 0, 0},
}

func frame(port uint16) []byte {
	b := make([]byte, 60)
	b[12], b[13], b[14], b[23] = 8, 0, 0x45, 17
	binary.BigEndian.PutUint16(b[36:], port)
	return b
}

func TestRun(t *testing.T) {
	if err := Check(udpPort53); err != nil {
		t.Fatal(err)
	}
	fragment := frame(53)
	fragment[21] = 1
	for _, c := range []struct {
		name string
		data []byte
		want uint32
	}{
		{"it", frame(53), 262144}, {"another port", frame(54), 0}, {"cut off", frame(53)[:37], 0}, {"a fragment", fragment, 0}, {"nothing", nil, 0},
	} {
		if got := udpPort53.Run(&Packet{Data: c.data, Len: len(c.data)}); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

// ret returns a program that ends with A.
func ret(in ...Instruction) Program { return append(in, Instruction{unix.BPF_RET | 0x10, 0, 0, 0}) }

func TestInstructions(t *testing.T) {
	p := &Packet{Data: []byte{0x46, 2, 3, 4, 5, 6, 7, 8}, Len: 100, Network: 4, Protocol: 0x806, PktType: 4, IfIndex: 9, Mark: 7, HAType: 772}
	for _, c := range []struct {
		name string
		prog Program
		want uint32
	}{
		{"word", ret(Instruction{0x20, 0, 0, 1}), 0x02030405},
		{"half", ret(Instruction{0x28, 0, 0, 6}), 0x0708},
		{"length", ret(Instruction{0x80, 0, 0, 0}), 100},
		{"indirect", ret(Instruction{0x01, 0, 0, 2}, Instruction{0x50, 0, 0, 1}), 4},
		{"header length", ret(Instruction{0xb1, 0, 0, 0}, Instruction{0x87, 0, 0, 0}), 24},
		{"scratch", ret(Instruction{0, 0, 0, 5}, Instruction{2, 0, 0, 15}, Instruction{0, 0, 0, 6}, Instruction{0x60, 0, 0, 15}), 5},
		{"subtract x", ret(Instruction{0, 0, 0, 5}, Instruction{1, 0, 0, 7}, Instruction{0x1c, 0, 0, 0}), 0xfffffffe},
		{"by zero", ret(Instruction{0, 0, 0, 5}, Instruction{1, 0, 0, 0}, Instruction{0x3c, 0, 0, 0}), 0},
		{"modulo", ret(Instruction{0, 0, 0, 23}, Instruction{0x94, 0, 0, 10}), 3},
		{"negate", ret(Instruction{0, 0, 0, 1}, Instruction{0x84, 0, 0, 0}), 0xffffffff},
		{"network", ret(Instruction{0x30, 0, 0, offNetwork + 1}), 6},
		{"link", ret(Instruction{0x30, 0, 0, offLink + 1}), 2},
		{"protocol", ret(Instruction{0x20, 0, 0, offAncillary}), 0x806},
		{"packet type", ret(Instruction{0x20, 0, 0, offAncillary + 4}), 4},
		{"interface", ret(Instruction{0x20, 0, 0, offAncillary + 8}), 9},
		{"hardware", ret(Instruction{0x20, 0, 0, offAncillary + 28}), 772},
		{"unknown ancillary", ret(Instruction{0x20, 0, 0, offAncillary + 64}), 0},
		{"jump", ret(Instruction{0, 0, 0, 1}, Instruction{5, 0, 0, 1}, Instruction{0, 0, 0, 2}), 1},
	} {
		if err := Check(c.prog); err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := c.prog.Run(p); got != c.want {
			t.Errorf("%s: %#x, want %#x", c.name, got, c.want)
		}
	}
}

func TestCheck(t *testing.T) {
	end := Instruction{6, 0, 0, 0}
	for name, p := range map[string]Program{
		"empty": {}, "no end": {{0, 0, 0, 1}}, "jump out": {{5, 0, 0, 1}, end}, "branch out": {{0x15, 0, 1, 0}, end},
		"divide by 0": {{0x34, 0, 0, 0}, end}, "shift": {{0x64, 0, 0, 32}, end}, "scratch": {{2, 0, 0, 16}, end}, "unknown": {{0xf7, 0, 0, 0}, end},
		"too long": make(Program, MaxLen+1),
	} {
		if Check(p) != unix.EINVAL {
			t.Errorf("%s is let through", name)
		}
	}
}

func FuzzRun(f *testing.F) {
	f.Add([]byte{0x28, 0, 0, 0, 0, 0, 0, 12, 6, 0, 0, 0, 0, 0, 0, 1}, frame(53))
	f.Fuzz(func(t *testing.T, code, data []byte) {
		var p Program
		for ; len(code) >= 8; code = code[8:] {
			p = append(p, Instruction{binary.LittleEndian.Uint16(code), code[2], code[3], binary.BigEndian.Uint32(code[4:])})
		}
		if Check(p) == nil {
			p.Run(&Packet{Data: data, Len: len(data), Network: 14})
		}
	})
}
