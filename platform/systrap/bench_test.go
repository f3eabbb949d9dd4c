//go:build amd64

package systrap

import (
	"testing"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// benchLoop runs text, which makes calls in a loop, until call nr was made b.N
// times; answer serves the others.
func benchLoop(b *testing.B, p *Platform, text *code, nr uint64, answer func(tk *task, nr uint64)) {
	g := newPatchedGuest(b, p, text)
	tk := g.newTask()
	n := 0
	tk.syscall = func(tk *task, got uint64, args [6]uint64) platform.Disposition {
		if answer != nil {
			answer(tk, got)
		}
		if got == nr {
			if n++; n > b.N {
				close(tk.ended)
				return platform.Exit
			}
		}
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

func BenchmarkSyscall(b *testing.B) {
	text := new(code).mov(ax, unix.SYS_GETPPID).syscall()
	text.jmp(0)
	benchLoop(b, open(b), text, unix.SYS_GETPPID, nil)
}

// The same at a site that can be patched, with the spinner.
func BenchmarkPatched(b *testing.B) {
	text := new(code).movl(ax, unix.SYS_GETPPID).syscall()
	text.jmp(0)
	benchLoop(b, open(b), text, unix.SYS_GETPPID, nil)
}

func BenchmarkFullState(b *testing.B) {
	text := new(code).mov(ax, unix.SYS_MUNMAP).syscall()
	text.jmp(0)
	benchLoop(b, open(b), text, unix.SYS_MUNMAP, nil)
}

// A call with one operation that rides on its return.
func BenchmarkApply(b *testing.B) {
	text := new(code).mov(ax, unix.SYS_MUNMAP).syscall()
	text.jmp(0)
	benchLoop(b, open(b), text, unix.SYS_MUNMAP, func(tk *task, nr uint64) {
		tk.g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Unmap, Addr: 0x10000000, Length: 0x1000}})
	})
}

// A fault that maps 4 KiB.
func BenchmarkFault(b *testing.B) {
	p := open(b)
	text := new(code).mov(bx, 0x10000000)
	loop := text.here()
	text.load(ax, bx, 0).raw(0x48, 0x81, 0xc3).imm32(0x10000).jmp(loop)
	g := newGuest(b, p, text)
	tk := g.newTask()
	tk.fault = func(tk *task, f platform.Fault) platform.Disposition {
		if tk.faults = tk.faults[:0]; int(f.Addr-0x10000000)/0x10000 > b.N%20000 {
			tk.State().Regs.Rbx = 0x10000000
		}
		if b.N--; b.N < 0 {
			close(tk.ended)
			return platform.Exit
		}
		g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Map, Addr: f.Addr &^ 0xffff, Length: 0x10000, Prot: unix.PROT_READ, FD: g.fd}})
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

// An address space, a context that makes one call in it, and their end.
func BenchmarkFork(b *testing.B) {
	p := open(b)
	g := newGuest(b, p, new(code).exit(ax))
	for b.Loop() {
		as, err := g.as.Fork(nil, nil)
		if err != nil {
			b.Fatal(err)
		}
		g.newTask().start(as).wait()
		as.Release()
	}
}

// A context that makes one call, on a thread that others have used.
func BenchmarkThread(b *testing.B) {
	p := open(b)
	g := newGuest(b, p, new(code).exit(ax))
	g.newTask().start(g.as).wait()
	for b.Loop() {
		g.newTask().start(g.as).wait()
	}
}
