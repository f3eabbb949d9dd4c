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
	p.spinner.policy = spinPolicy{cpus: 1 << 20, hotGap: time.Second, idle: 20 * time.Millisecond, lost: time.Hour, looks: 1 << 15}
}

// A patched site: all registers are as after a system call, in both of the ways
// that the call can go.
func TestPatch(t *testing.T) {
	p := open(t)
	eager(p)
	const count, wanted, enough = 5000, 50, 500000 // calls, fast ones at least, and at most so many
	for name, insn := range map[string]*code{
		"mov eax": new(code).movl(ax, unix.SYS_READ),
		"mov r9":  new(code).mov(ax, unix.SYS_READ).raw(movR9...),
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
			text.raw(*insn...).syscall()
			after := text.here()
			text.raw(0x9c, 0x59, 0xfc)                                     // pushfq; pop %rcx; cld
			text.raw(0x81, 0xe1).imm32(0x401).raw(0x81, 0xf9).imm32(0x401) // and, cmp $DF|CF|... to ecx
			text.raw(0x0f, 0x84).imm32(0)                                  // je over the exit
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
			for _, r := range append(preserved, r9) {
				v := 0x0101010101010101 * uint64(r+1)
				if r == r9 {
					v = 0x0909090909090909
				}
				want += v
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
				if nr != unix.SYS_READ || args != [6]uint64{0x0808080808080808, 0x0707070707070707, 0x0303030303030303,
					0x0b0b0b0b0b0b0b0b, 0x0909090909090909, 0x0909090909090909} {
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
				if r.Rip == textAddr+uint64(after) && (r.R15 != n-1 || r.Rsp != dataAddr+0x8000 || r.Rdi != 0x0808080808080808) {
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
