//go:build amd64

package systrap

import (
	"sync/atomic"
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
	text := new(code).raw(0x90).movl(ax, unix.SYS_GETPPID).syscall()
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
	n := 0
	tk.fault = func(tk *task, f platform.Fault) platform.Disposition {
		tk.faults = tk.faults[:0]
		if f.Addr > 0x400000000 {
			tk.State().Regs.Rbx = 0x10000000
			f.Addr = 0x10000000
			g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Unmap, Addr: f.Addr, Length: 0x400000000}})
		}
		if n++; n > b.N {
			close(tk.ended)
			return platform.Exit
		}
		g.as.Apply(tk.Context, []platform.Op{{Kind: platform.Map, Addr: f.Addr &^ 0xffff, Length: 0x10000, Prot: unix.PROT_READ, FD: g.fd}})
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

// fork, exit and wait: an address space, a context that makes one call in it, and
// their end.
func BenchmarkFork(b *testing.B) {
	p := open(b)
	text := new(code).mov(ax, unix.SYS_FORK).syscall().raw(0x48, 0x85, 0xc0).jne(0) // test rax
	text.exit(ax)
	g := newGuest(b, p, text)
	tk := g.newTask()
	n := 0
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if n++; n > b.N {
			close(tk.ended)
			return platform.Exit
		}
		as, err := g.as.Fork(tk.Context, nil)
		if err != nil {
			b.Error(err)
			return platform.Exit
		}
		child := g.newTask()
		child.State().Regs = tk.State().Regs
		child.State().SetReturn(0)
		child.onExit = func() {
			as.Release()
			tk.Unpark()
		}
		child.start(as)
		tk.Park()
		tk.State().SetReturn(1)
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

// clone and exit: a context that makes one call, on a thread that others have
// used.
func BenchmarkThread(b *testing.B) {
	p := open(b)
	text := new(code).mov(ax, unix.SYS_CLONE).syscall().raw(0x48, 0x85, 0xc0).jne(0) // test rax
	text.exit(ax)
	g := newGuest(b, p, text)
	tk := g.newTask()
	n := 0
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if n++; n > b.N {
			close(tk.ended)
			return platform.Exit
		}
		child := g.newTask()
		child.State().Regs = tk.State().Regs
		child.State().SetReturn(0)
		child.onExit = func() {
			tk.Unpark()
		}
		child.start(g.as)
		tk.Park()
		tk.State().SetReturn(1)
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

// execve: a new address space and the end of the old one.
func BenchmarkExec(b *testing.B) {
	p := open(b)
	text := new(code).mov(ax, unix.SYS_EXECVE).syscall()
	g := newGuest(b, p, text)
	tk := g.newTask()
	n := 0
	as := g.as
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if n++; n > b.N {
			close(tk.ended)
			return platform.Exit
		}
		next, err := p.NewAddressSpace(nil)
		if err != nil {
			b.Error(err)
			return platform.Exit
		}
		g.apply(next, nil)
		tk.SetAddressSpace(next)
		if as != g.as {
			as.Release()
		}
		as = next
		tk.State().SetIP(textAddr)
		return platform.Resume
	}
	b.ResetTimer()
	tk.start(g.as).wait()
}

// Two processes that wake each other in turn: two calls, of which one blocks, and
// a write, each.
func BenchmarkPingPong(b *testing.B) {
	p := open(b)
	text := new(code).mov(ax, unix.SYS_WRITE).syscall().mov(ax, unix.SYS_READ).syscall()
	text.jmp(0)
	var tokens [2]atomic.Int32
	var stop atomic.Bool
	var tasks [2]*task
	for i := range tasks {
		g := newGuest(b, p, text)
		tk := g.newTask()
		n := 0
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			if nr == unix.SYS_WRITE {
				if n++; n > b.N {
					stop.Store(true)
					tasks[1-i].Unpark()
					close(tk.ended)
					return platform.Exit
				}
				tokens[1-i].Add(1)
				tasks[1-i].Unpark()
				return platform.Resume
			}
			for tokens[i].Load() == 0 {
				if stop.Load() {
					close(tk.ended)
					return platform.Exit
				}
				tk.Park()
			}
			tokens[i].Add(-1)
			return platform.Resume
		}
		tasks[i] = tk
	}
	b.ResetTimer()
	for _, tk := range tasks {
		tk.start(tk.g.as)
	}
	tasks[0].wait()
	tasks[1].wait()
}
