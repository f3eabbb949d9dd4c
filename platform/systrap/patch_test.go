//go:build amd64

package systrap

import (
	"math/rand/v2"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// eager makes the spinner spin whatever the machine's load.
func eager(p *Platform) {
	p.spinner.policy = spinPolicy{cpus: 1 << 20, hotGap: time.Second, idle: 20 * time.Millisecond, busy: 20 * time.Millisecond, lost: time.Hour, looks: 1 << 15}
}

// A patched site: all registers are as after a system call, in both of the ways
// that the call can go.
func TestPatch(t *testing.T) {
	p := open(t)
	eager(p)
	const count, wanted, enough = 5000, 50, 1500000 // calls, fast ones at least, and at most so many
	const dfcf, df = 0x401, 0x400
	for name, test := range map[string]struct {
		nr     uint64
		before *code          // SYSCALL
		flags  uint32         // after it
		loaded map[reg]uint64 // registers that before has changed
	}{
		"mov eax": {unix.SYS_WRITE, new(code).movl(ax, unix.SYS_WRITE), dfcf, nil},
		"mov r9":  {unix.SYS_WRITE, new(code).mov(ax, unix.SYS_WRITE).raw(movR9...), dfcf, nil},
		"mov edi": {unix.SYS_WRITE, new(code).mov(ax, unix.SYS_WRITE).raw(0xbf, 8, 8, 8, 8), dfcf, map[reg]uint64{di: 0x08080808}},
		"mov rdi": {unix.SYS_WRITE, new(code).mov(ax, unix.SYS_WRITE).raw(movRDI...), dfcf,
			map[reg]uint64{si: 0x0909090909090909, di: 0x0101010101010101 * uint64(bx+1)}},
		"xor sil": {unix.SYS_FUTEX, new(code).mov(ax, unix.SYS_FUTEX).raw(xorSIL...).raw(0x81), df, map[reg]uint64{si: 0x0707070707070707 ^ 0x81}},
		"xor eax": {unix.SYS_READ, new(code).raw(xorEAX...), df, nil},
	} {
		t.Run(name, func(t *testing.T) {
			preserved := []reg{dx, bx, bp, si, di, r8, r10, r12, r13, r14}
			text := new(code).mov(r15, 0)
			loop := text.here()
			for _, r := range preserved {
				text.mov(r, 0x0101010101010101*uint64(r+1))
			}
			text.mov(sp, dataAddr+0x8000).mov(cx, 0x0909090909090909).raw(0x48, 0x89, 0x4c, 0x24, 0x08) // mov %rcx,8(%rsp)
			text.raw(0x49, 0xb9, 9, 9, 9, 9, 9, 9, 9, 9)                                                // mov r9
			text.raw(0xfd, 0xf9)                                                                        // std; stc
			text.raw(*test.before...).syscall()
			after := text.here()
			text.raw(0x48, 0x89, 0xed)                                          // mov %rbp,%rbp: the byte after a short jump counts
			text.raw(0x9c, 0x59, 0xfc)                                          // pushfq; pop %rcx; cld
			text.raw(0x81, 0xe1).imm32(0x401).raw(0x81, 0xf9).imm32(test.flags) // and, cmp to ecx
			text.raw(0x0f, 0x84).imm32(0)                                       // je over the exit
			jump := text.here()
			text.mov(di, 1000).exit(di)
			(*text)[jump-4] = byte(text.here() - jump)
			sum := func(r reg) { text.raw(0x48|byte(r>>3)<<2, 0x01, 0xc0|byte(r&7)<<3) } // add r, rax
			for _, r := range append(preserved, r9) {
				sum(r)
			}
			text.inc(r15).mov(bx, dataAddr).store(bx, 0, ax).store(bx, 8, sp)
			text.jmp(loop)
			var want uint64
			value := func(r reg) uint64 {
				if v, ok := test.loaded[r]; ok {
					return v
				}
				if r == r9 {
					return 0x0909090909090909
				}
				return 0x0101010101010101 * uint64(r+1)
			}
			for _, r := range append(preserved, r9) {
				want += value(r)
			}
			g := newPatchedGuest(t, p, text)
			tk := g.newTask()
			n, fast := uint64(0), 0
			rng := rand.New(rand.NewPCG(7, 8))
			tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
				if n > 0 && g.data(0) != want+n || n > 0 && g.data(8) != dataAddr+0x8000 {
					t.Errorf("call %d: registers %#x, want %#x; sp %#x", n, g.data(0), want+n, g.data(8))
				}
				if n++; n >= count && fast >= wanted || n == enough {
					close(tk.ended)
					return platform.Exit
				}
				if nr != test.nr || args != [6]uint64{value(di), value(si), value(dx), value(r10), value(r8), value(r9)} {
					t.Errorf("call %d %x", nr, args)
				}
				if ip := tk.State().IP(); ip != textAddr+uint64(after) {
					t.Errorf("ip %#x", ip)
				}
				th := tk.Context.(*context).t.Load()
				if th.phase.Load() != phasePlain {
					fast++
				}
				tk.State().SetReturn(n)
				switch rng.IntN(100) {
				case 0:
					return platform.ResumeFull
				case 1:
					tk.Interrupt()
				case 2:
					g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Unmap, Addr: 0x10000000, Length: 0x1000}})
				case 3:
					tk.Blocking()
				case 4:
					for end := time.Now().Add(30 * time.Microsecond); time.Now().Before(end); {
					}
				}
				return platform.Resume
			}
			tk.interrupt = func(tk *task) platform.Disposition {
				r := &tk.State().Regs
				if r.Rip == textAddr+uint64(after) && r.Rax != n {
					t.Errorf("interrupted with result %d after call %d", r.Rax, n)
				}
				if r.Rip == textAddr+uint64(after) && (r.R15 != n-1 || r.Rsp != dataAddr+0x8000 || r.Rdi != value(di)) {
					t.Errorf("interrupted with %+v", r)
				}
				return platform.Resume
			}
			tk.start(g.as)
			stop := make(chan struct{})
			go func() { // interrupts at any time
				for {
					select {
					case <-stop:
						return
					case <-time.After(50 * time.Microsecond):
						tk.Interrupt()
					}
				}
			}()
			tk.wait()
			close(stop)
			if tk.died || len(tk.faults) > 0 {
				t.Errorf("died %v, faults %+v", tk.died, tk.faults)
			}
			if g.patches != 1 || fast < wanted {
				t.Errorf("%d patches, %d calls, %d of them fast", g.patches, n, fast)
			}
		})
	}
}

// A signal at the beginning of the path of patched sites, where SP is the application's or
// the area's: the application makes the call itself, with its own SP.
func TestLeaveFastEarly(t *testing.T) {
	const sp, ret = dataAddr + 0x1238, textAddr + 0x42
	a := area{new([areaSize]byte)}
	off := frameOffset()
	u := a.frame(off)
	for at := uint64(offFast); at < offPush; at++ {
		*u = ucontext{ip: stubText + at, sp: stubAreas, cx: ret}
		*a.word(areaSP) = sp
		if at == offFast {
			u.sp, *a.word(areaSP) = sp, 0
		}
		if a.leaveFast(off, false) || u.ip != ret-syscallLength || u.sp != sp {
			t.Errorf("at %#x: ip %#x, sp %#x", at, u.ip, u.sp)
		}
	}
}
