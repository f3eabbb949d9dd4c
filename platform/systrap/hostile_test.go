//go:build amd64

package systrap

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// A witness sees whether a stub has got anything done on the host: the canary
// file is what paths in the guest's data name, and descriptor fd is shared.
type witness struct {
	t      *testing.T
	canary string
	fd     int
}

func newWitness(t *testing.T) *witness {
	w := &witness{t: t, canary: filepath.Join(t.TempDir(), "c")}
	if err := os.WriteFile(w.canary, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.fd, err = unix.Open(w.canary, unix.O_RDWR, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(w.fd) })
	return w
}

func (w *witness) check(what string) {
	w.t.Helper()
	if b, err := os.ReadFile(w.canary); err != nil || string(b) != "canary" {
		w.t.Errorf("%s: canary: %q, %v", what, b, err)
	}
	var st unix.Stat_t
	if err := unix.Fstat(w.fd, &st); err != nil || st.Mode&0o777 != 0o600 || st.Nlink != 1 {
		w.t.Errorf("%s: descriptor: %v %o %d", what, err, st.Mode, st.Nlink)
	}
	if off, _ := unix.Seek(w.fd, 0, 1); off != 0 {
		w.t.Errorf("%s: the descriptor is at %d", what, off)
	}
}

// stubMaps returns the mappings of the stub region, and their protection.
func stubMaps(t *testing.T, pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return ""
	}
	var lines []string
	for _, l := range strings.Split(string(b), "\n") {
		if strings.HasPrefix(l, "7fff") {
			lines = append(lines, strings.Join(strings.Fields(l)[:2], " "))
		}
	}
	return strings.Join(lines, "\n")
}

// healthy checks that the platform still does its work.
func healthy(t *testing.T, p *Platform) {
	t.Helper()
	g := newGuest(t, p, new(code).call(unix.SYS_READ).call(unix.SYS_MUNMAP).mov(di, 17).exit(di))
	if tk := g.newTask().start(g.as).wait(); tk.died || tk.code != 17 {
		t.Errorf("a new context: died %v, code %d", tk.died, tk.code)
	}
}

var stubCalls = map[string]uint64{
	"handoff": offHandoff, "sigreturn": offSigreturn, "call": offCall,
	"death signal": offDeathSig, "parent": offParent, "clone": offClone, "newprocess": offNewProcess, "newthread": offNewThread,
}

// jump goes to the stub's code at off with the arguments and rax given.
func (a *code) jump(off, nr uint64, args ...uint64) *code {
	for i, v := range args {
		a.mov([]reg{di, si, dx, r10, r8, r9}[i], v)
	}
	return a.mov(bx, stubAreas).mov(ax, nr).mov(cx, stubText+off).raw(0xff, 0xe1) // jmp *%rcx
}

// hostileTask runs text in a new guest; the first upcall but for calls ends it.
func hostileTask(t *testing.T, p *Platform, text *code, data string) *task {
	g := newGuest(t, p, text)
	copy(g.mem[guestSize:], data)
	tk := g.newTask()
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		if !tk.State().Full {
			return platform.Resume
		}
		close(tk.ended)
		return platform.Exit
	}
	return tk.start(g.as)
}

// Every system call from each of the stub's system call instructions.
func TestHostileStubCalls(t *testing.T) {
	p := open(t)
	w := newWitness(t)
	numbers := []uint64{nrHandoff, 1 << 30, 1<<30 + 1, ^uint64(0), 0xfffffffe, 1000}
	for nr := range uint64(470) {
		numbers = append(numbers, nr)
	}
	for name, off := range stubCalls {
		for _, nr := range numbers {
			if name == "handoff" && nr > 100 && nr < 400 {
				continue
			}
			what := fmt.Sprintf("%s %d", name, nr)
			for _, args := range [][]uint64{
				{dataAddr, dataAddr, dataAddr, dataAddr, dataAddr, dataAddr},
				{uint64(w.fd), dataAddr, 5, 0, 0, 0},
			} {
				if nr == unix.SYS_KILL || nr == unix.SYS_TKILL || nr == unix.SYS_TGKILL {
					args[0] = 1 << 30
				}
				text := new(code).jump(off, nr, args...)
				tk := hostileTask(t, p, text, w.canary+"\x00")
				pid := tk.g.as.(*space).proc.pid
				maps := stubMaps(t, pid)
				tk.wait()
				if after := stubMaps(t, pid); !tk.died && after != maps && maps != "" {
					t.Errorf("%s: maps before\n%s\nafter\n%s", what, maps, after)
				}
				tk.g.as.Release()
			}
		}
		w.check(name)
	}
	healthy(t, p)
}

// The calls that change memory, made for the stub's own memory.
func TestHostileUnmap(t *testing.T) {
	p := open(t)
	zygoteMaps := stubMaps(t, p.template.t.proc.pid)
	if n := strings.Count(zygoteMaps, "\n"); n != 3 {
		t.Fatalf("maps:\n%s", zygoteMaps)
	}
	for _, addr := range []uint64{stubText, stubTitle, stubTable, stubAreas, stubAreas + chunkSize} {
		for _, c := range []call{
			{unix.SYS_MUNMAP, [6]uint64{addr, 0x1000}},
			{unix.SYS_MPROTECT, [6]uint64{addr, 0x1000, 7}},
			{unix.SYS_MMAP, [6]uint64{addr, 0x1000, 7, unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_FIXED, ^uint64(0)}},
			{unix.SYS_MREMAP, [6]uint64{addr, 0x1000, 0x1000, unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED, 0x10000000}},
			{unix.SYS_MADVISE, [6]uint64{addr, 0x1000, unix.MADV_DONTNEED}},
			{unix.SYS_SIGALTSTACK, [6]uint64{dataAddr}},
		} {
			for name, off := range stubCalls {
				tk := hostileTask(t, p, new(code).jump(off, c.nr, c.args[:]...), "")
				pid := tk.g.as.(*space).proc.pid
				maps := zygoteMaps
				tk.wait()
				if after := stubMaps(t, pid); !tk.died && after != maps {
					t.Errorf("%s %+v: maps before\n%s\nafter\n%s", name, c, maps, after)
				}
				tk.g.as.Release()
			}
			// And as anybody would: the sentry is asked.
			asked := false
			tk := newGuest(t, p, new(code).call(c.nr, c.args[:]...).exit(ax)).newTask()
			tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
				asked = nr == c.nr && args == c.args
				tk.State().SetReturn(3)
				return platform.Resume
			}
			if tk.start(tk.g.as).wait(); !asked || tk.code != 3 {
				t.Errorf("%+v: asked %v, got %d", c, asked, tk.code)
			}
		}
	}
	healthy(t, p)
}

// Writes to every page of the stub region that is mapped, and some that are not.
func TestHostileWrite(t *testing.T) {
	p := open(t)
	for _, addr := range []uint64{stubText, stubText + 0xff8, stubTable, stubTable + uint64(tableSize) - 8,
		stubTitle + titleSize, stubAreas + chunkSize, stubEnd - 8, stubStart - 8} {
		tk := hostileTask(t, p, new(code).mov(bx, addr).store(bx, 0, ax), "").wait()
		if len(tk.faults) != 1 || tk.faults[0].Addr != addr || !tk.faults[0].Write {
			t.Errorf("%#x: faults %+v", addr, tk.faults)
		}
	}
	// The areas can be written; nothing of it is believed.
	text := new(code).mov(bx, stubAreas).mov(ax, 0x4141414141414141)
	loop := text.here()
	text.store(bx, 0, ax).raw(0x48, 0x83, 0xc3, 0x08).move(dx, bx).mov(cx, stubAreas+chunkSize)
	text.raw(0x48, 0x39, 0xca).jne(loop) // cmp %rcx, %rdx
	text.call(unix.SYS_READ).call(unix.SYS_MUNMAP).mov(di, 5).exit(di)
	tk := newGuest(t, p, text).newTask()
	if tk.start(tk.g.as).wait(); tk.code != 5 {
		t.Errorf("code %d, died %v, faults %+v", tk.code, tk.died, tk.faults)
	}
	healthy(t, p)
}

// int 0x80, from 64-bit code and from 32-bit code: ENOSYS.
func TestHostile32Bit(t *testing.T) {
	p := open(t)
	w := newWitness(t)
	for _, nr := range []uint32{1, 5, 10, 90, 91, 119, 173} {
		text := new(code).mov(bx, dataAddr).mov(cx, 2).movl(ax, nr).raw(0xcd, 0x80).exit(ax)
		if tk := hostileTask(t, p, text, w.canary+"\x00").wait(); tk.code != errNoSys {
			t.Errorf("int 0x80, %d: %#x, died %v, faults %+v", nr, tk.code, tk.died, tk.faults)
		}
		// lretq to 32-bit code, which makes the call and goes back.
		text = new(code).mov(sp, dataAddr+0x1000).mov(bx, dataAddr)
		text.raw(0x6a, 0x23, 0x68).imm32(textAddr+0x100).raw(0x48, 0xcb)
		for text.here() < 0x100 {
			text.raw(0xcc)
		}
		text.movl(ax, nr).raw(0xcd, 0x80, 0xea).imm32(textAddr+0x200).raw(0x33, 0) // ljmp
		for text.here() < 0x200 {
			text.raw(0xcc)
		}
		text.raw(0x89, 0xc0).exit(ax)
		if tk := hostileTask(t, p, text, w.canary+"\x00").wait(); tk.code != errNoSys&0xffffffff {
			t.Errorf("32-bit code, %d: %#x, died %v, faults %+v", nr, tk.code, tk.died, tk.faults)
		}
		// syscall and sysenter in 32-bit code: an exception or ENOSYS, no matter.
		for _, insn := range [][]byte{{0x0f, 0x05}, {0x0f, 0x34}} {
			text = new(code).mov(sp, dataAddr+0x1000).mov(bx, dataAddr).mov(bp, dataAddr)
			text.raw(0x6a, 0x23, 0x68).imm32(textAddr+0x100).raw(0x48, 0xcb)
			for text.here() < 0x100 {
				text.raw(0xcc)
			}
			text.movl(ax, nr).raw(insn...).raw(0xea).imm32(textAddr+0x200).raw(0x33, 0)
			for text.here() < 0x200 {
				text.raw(0xcc)
			}
			text.raw(0x89, 0xc0).exit(ax)
			tk := hostileTask(t, p, text, w.canary+"\x00").wait()
			if !tk.died && len(tk.faults) == 0 && tk.code != errNoSys&0xffffffff {
				t.Errorf("32-bit % x, %d: %#x", insn, nr, tk.code)
			}
		}
	}
	w.check("32-bit calls")
	healthy(t, p)
}

// Frames made by the application for the stub's rt_sigreturn.
func TestHostileSigreturn(t *testing.T) {
	p := open(t)
	rng := rand.New(rand.NewPCG(3, 4))
	size := uint64(arch.FPStateSize())
	for i := range 300 {
		// Goes on at textAddr+0x100 if the frame is good.
		text := new(code).mov(sp, dataAddr+0x1000).jump(offSigreturn, unix.SYS_RT_SIGRETURN)
		for text.here() < 0x100 {
			text.raw(0xcc)
		}
		text.call(unix.SYS_READ).call(unix.SYS_MUNMAP).exit(di)
		g := newGuest(t, p, text)
		tk := g.newTask()
		a := area{(*[areaSize]byte)(g.mem[guestSize:])}
		s := *tk.State()
		s.Regs.Rip = textAddr + 0x100
		a.writeFrame(0x1000, dataAddr, &s)
		u := a.frame(0x1000)
		u.stack.sp = stubAreas + stackStart
		switch i {
		case 0:
		case 1:
			u.sigmask = ^uint64(0)
		case 2:
			u.stack = stackT{sp: dataAddr, size: 0x4000}
		case 3:
			u.stack = stackT{sp: stubAreas, size: 0x4000}
		case 4:
			u.ip = stubText + offHandoff
		case 5:
			u.ip = 0xffffffff81000000
		case 6:
			u.cs = 0x10
		case 7:
			u.eflags = ^uint64(0)
		case 8:
			u.stack = stackT{flags: 2} // SS_DISABLE
		default:
			for range rng.IntN(20) {
				g.mem[guestSize+0x1000+rng.IntN(int(ucSize))] = byte(rng.Uint32())
			}
			for range rng.IntN(20) {
				g.mem[guestSize+areaSize-int(size)+rng.IntN(int(size))] = byte(rng.Uint32())
			}
		}
		pid := g.as.(*space).proc.pid
		maps := stubMaps(t, pid)
		tk.start(g.as).wait()
		if i == 0 && (tk.died || len(tk.faults) > 0) {
			t.Errorf("a good frame: died %v, %+v", tk.died, tk.faults)
		}
		if after := stubMaps(t, pid); !tk.died && after != maps {
			t.Errorf("%d: maps before\n%s\nafter\n%s", i, maps, after)
		}
		g.as.Release()
	}
	healthy(t, p)
}

// A second thread scribbles over the areas while the first makes calls of all
// kinds. Whatever becomes of them, the sentry goes on.
func TestHostileScribble(t *testing.T) {
	p := open(t)
	eager(p)
	w := newWitness(t)
	const scratch = 0x10000000
	for seed := range uint64(40) {
		text := new(code)
		// Thread 0: calls, faults and forks, until it ends or dies.
		for range 3 {
			text.call(unix.SYS_READ, dataAddr).call(unix.SYS_MUNMAP).mov(bx, scratch).load(ax, bx, 0)
			text.call(unix.SYS_FORK)
			for range 5 {
				text.mov(di, dataAddr).movl(ax, unix.SYS_WRITE).syscall() // to be patched
			}
		}
		text.jmp(0)
		scribble := text.here()
		// Thread 1: xorshift in rbp, rbp to (area + random).
		text.mov(bp, seed*0x9e3779b97f4a7c15+1)
		loop := text.here()
		text.move(ax, bp).raw(0x48, 0xc1, 0xe0, 0x0d).raw(0x48, 0x31, 0xc5) // shl 13; xor
		text.move(ax, bp).raw(0x48, 0xc1, 0xe8, 0x07).raw(0x48, 0x31, 0xc5) // shr 7
		text.move(ax, bp).raw(0x48, 0xc1, 0xe0, 0x11).raw(0x48, 0x31, 0xc5) // shl 17
		text.mov(cx, stubAreas).move(dx, bp).raw(0x81, 0xe2).imm32(areaSize-1&^7).raw(0x48, 0x01, 0xd1)
		if seed%2 == 0 { // small values
			text.move(ax, bp).raw(0x48, 0xc1, 0xe8, 0x38)
		}
		text.store(cx, 0, ax).jmp(loop)

		g := newPatchedGuest(t, p, text)
		copy(g.mem[guestSize:], w.canary+"\x00")
		a, b := g.newTask(), g.newTask()
		n := 0
		done := false
		a.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			if n++; n > 1000 || done {
				close(tk.ended)
				return platform.Exit
			}
			if nr == unix.SYS_FORK {
				if as, err := g.as.Fork(tk.Context, nil); err == nil {
					as.Release()
				}
			}
			if n%9 == 0 {
				err := g.as.Apply(tk.Context, []platform.Op{
					{Kind: platform.Unmap, Addr: scratch, Length: 0x10000}})
				done = err != nil
			}
			return platform.Resume
		}
		a.fault = func(tk *task, f platform.Fault) platform.Disposition {
			if n++; n > 1000 || f.Addr != scratch {
				close(tk.ended)
				return platform.Exit
			}
			g.as.Apply(tk.Context, []platform.Op{
				{Kind: platform.Map, Addr: scratch, Length: 0x1000, Prot: unix.PROT_READ, FD: g.fd},
				{Kind: platform.Map, Addr: scratch + 0x1000, Length: 0x1000, Prot: unix.PROT_READ, FD: g.fd},
			})
			return platform.Resume
		}
		b.State().SetIP(textAddr + uint64(scribble))
		a.start(g.as)
		b.Start(g.as) // may find the process dead
		a.wait()
		g.as.Release()
		w.check("scribble")
	}
	healthy(t, p)
}

// Hand-offs made up by the application.
func TestHostileHandoff(t *testing.T) {
	p := open(t)
	rng := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		kind := []uint64{kindDone, kindFailed, 0, 5, 7, 11, 31, interruptSignal, 64, 1 << 40}[rng.IntN(10)]
		frame := stubAreas + []uint64{0, stackStart, stackStart + 16, stackStart + 8, frameOffset(), areaSize - 16, areaSize, rng.Uint64()}[rng.IntN(8)]
		base := uint64(stubAreas)
		if rng.IntN(4) == 0 {
			base = dataAddr
		}
		tk := hostileTask(t, p, new(code).jump(offHandoff, nrHandoff, kind, rng.Uint64(), frame, base), "")
		if p := tk.g.as.(*space).proc; true {
			tk.interrupt = func(tk *task) platform.Disposition { p.kill(); return platform.Resume }
		}
		// It may well be in a loop of interrupts now that nobody asked for.
		select {
		case <-tk.ended:
		default:
			tk.Interrupt()
		}
		tk.g.as.Release()
		tk.wait()
	}
	healthy(t, p)
}

// The kernel's vsyscall page is an application's system call like any other.
func TestVsyscall(t *testing.T) {
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil || !strings.Contains(string(maps), "[vsyscall]") {
		t.Skip("no vsyscall page")
	}
	p := open(t)
	const vtime = 0xffffffffff600400
	text := new(code).mov(di, 0).mov(cx, vtime).raw(0xff, 0xd1).exit(ax) // call *%rcx
	tk := newGuest(t, p, text).newTask()
	var asked uint64
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		asked = nr
		tk.State().SetReturn(4711)
		return platform.Resume
	}
	if tk.start(tk.g.as).wait(); asked != unix.SYS_TIME || tk.code != 4711 {
		t.Errorf("asked for %d, got %d, faults %+v", asked, tk.code, tk.faults)
	}
	healthy(t, p)
}

// An application that blocks all signals by a forged frame cannot be interrupted:
// it is killed when it has been due for long. An Apply that waits for it fails.
func TestHostileBlockedSignals(t *testing.T) {
	p := open(t)
	p.watch.patience = 200 * time.Millisecond
	text := new(code).mov(sp, dataAddr+0x1000).jump(offSigreturn, unix.SYS_RT_SIGRETURN)
	for text.here() < 0x100 {
		text.raw(0xcc)
	}
	loop := text.mov(bx, dataAddr+0x8000).inc(ax).here()
	text.store(bx, 0, ax).jmp(loop)
	start := func() (*guest, *task) {
		g := newGuest(t, p, text)
		tk := g.newTask()
		a := area{(*[areaSize]byte)(g.mem[guestSize:])}
		s := *tk.State()
		s.Regs.Rip = textAddr + 0x100
		s.Regs.Rax = 1
		a.writeFrame(0x1000, dataAddr, &s)
		a.frame(0x1000).sigmask = ^uint64(0)
		tk.start(g.as)
		for g.data(0x8000) == 0 {
			time.Sleep(time.Millisecond)
		}
		return g, tk
	}
	_, tk := start()
	tk.Interrupt()
	if tk.wait(); !tk.died {
		t.Error("interrupted")
	}
	g, tk := start()
	if err := g.as.Apply(nil, []platform.Op{{Kind: platform.Unmap, Addr: textAddr, Length: 0x1000}}); err == nil {
		t.Error("Apply has succeeded")
	}
	if tk.wait(); !tk.died {
		t.Error("survived")
	}
	healthy(t, p)
}
