//go:build amd64

package systrap

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// vector appends loads or stores of all vector registers, the widest that there
// are, from or to memory at rbx.
func (a *code) vector(load bool) *code {
	op := byte(0x7f)
	if load {
		op = 0x6f
	}
	switch {
	case arch.XCR0()&0xe6 == 0xe6: // AVX-512: vmovdqu64
		for r := range byte(32) {
			a.raw(0x62, (^r>>3&1)<<7|0x61|(^r>>4&1)<<4, 0xfe, 0x48, op, 0x43|r&7<<3, r)
		}
	case arch.XCR0()&arch.XFeatureAVX != 0: // vmovdqu
		for r := range byte(16) {
			a.raw(0xc5, 0x7e|(^r>>3&1)<<7, op, 0x83|r&7<<3).imm32(uint32(r) * 64)
		}
	default: // movdqu
		for r := range byte(16) {
			a.raw(0xf3, 0x40|r>>3<<2, 0x0f, op, 0x83|r&7<<3).imm32(uint32(r) * 64)
		}
	}
	return a
}

// The vector registers survive every kind of event.
func TestExtendedState(t *testing.T) {
	p := open(t)
	text := new(code).mov(bx, dataAddr).vector(true)
	text.call(unix.SYS_READ).call(unix.SYS_MUNMAP).call(unix.SYS_WRITE)
	text.mov(cx, 0x10000000).load(cx, cx, 0)
	text.mov(r12, 1<<22)
	loop := text.here()
	text.raw(0x49, 0xff, 0xcc).jne(loop) // dec r12
	text.mov(bx, dataAddr+0x1000).vector(false).exit(di)
	g := newGuest(t, p, text)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 2048 {
		g.mem[guestSize+i] = byte(rng.Uint32())
	}
	tk := g.newTask()
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if nr == unix.SYS_WRITE {
			go tk.Interrupt()
			return platform.ResumeFull
		}
		return platform.Resume
	}
	tk.fault = func(tk *task, f platform.Fault) platform.Disposition {
		g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Map, Addr: 0x10000000, Length: 0x1000, Prot: unix.PROT_READ, FD: g.fd}})
		return platform.Resume
	}
	tk.start(g.as).wait()
	if tk.ints.Load() == 0 {
		t.Error("no interrupt")
	}
	size := 16
	switch {
	case arch.XCR0()&0xe6 == 0xe6:
		size = 64
	case arch.XCR0()&arch.XFeatureAVX != 0:
		size = 32
	}
	n := 16
	if size == 64 {
		n = 32
	}
	for r := range n {
		at := guestSize + 64*r
		if !bytes.Equal(g.mem[at:at+size], g.mem[at+0x1000:at+0x1000+size]) {
			t.Errorf("register %d has changed", r)
		}
	}
}

// What the sentry puts into State.FP is what the application gets, and a signal
// frame has the layout that arch says.
func TestSetExtendedState(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_MUNMAP).mov(bx, dataAddr)
	text.raw(0x0f, 0x11, 0x03) // movups %xmm0, (%rbx)
	text.raw(0x0f, 0xae, 0x5b, 0x10)
	text.exit(di) // stmxcsr 16(%rbx)
	g := newGuest(t, p, text)
	tk := g.newTask()
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		fp := tk.State().FP
		sealed := bytes.Clone(fp)
		arch.SealFPState(sealed)
		if !bytes.Equal(fp[464:512], sealed[464:512]) {
			t.Errorf("the kernel says % x, we % x", fp[464:512], sealed[464:512])
		}
		fp[512] |= arch.XFeatureSSE
		for i := range 16 {
			fp[160+i] = byte(i + 1)
		}
		fp[25] = 0x3f // MXCSR: round to zero, flush nothing
		return platform.Resume
	}
	tk.start(g.as).wait()
	if v := g.data(0); v != 0x0807060504030201 {
		t.Errorf("xmm0 = %#x", v)
	}
	if v := uint32(g.data(16)) >> 8; v != 0x3f {
		t.Errorf("mxcsr = %#x", g.data(16))
	}
}
