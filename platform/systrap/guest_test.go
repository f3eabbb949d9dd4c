//go:build amd64

package systrap

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// reg is a general register, by its number in machine code.
type reg byte

const (
	ax reg = iota
	cx
	dx
	bx
	sp
	bp
	si
	di
	r8
	r9
	r10
	r11
	r12
	r13
	r14
	r15
)

// code assembles what the tests run as an application.
type code []byte

func (a *code) raw(b ...byte) *code { *a = append(*a, b...); return a }

func (a *code) imm32(v uint32) *code { *a = binary.LittleEndian.AppendUint32(*a, v); return a }

// mov sets r to v.
func (a *code) mov(r reg, v uint64) *code {
	a.raw(0x48|byte(r>>3), 0xb8|byte(r&7))
	*a = binary.LittleEndian.AppendUint64(*a, v)
	return a
}

// movl sets r to v by the five-byte instruction that C libraries use.
func (a *code) movl(r reg, v uint32) *code { return a.raw(0xb8 | byte(r)).imm32(v) }

// move copies from to to.
func (a *code) move(to, from reg) *code {
	return a.raw(0x48|byte(from>>3)<<2|byte(to>>3), 0x89, 0xc0|byte(from&7)<<3|byte(to&7))
}

// load and store access memory at base (not sp or r12) plus disp.
func (a *code) load(to, base reg, disp uint32) *code {
	return a.raw(0x48|byte(to>>3)<<2|byte(base>>3), 0x8b, 0x80|byte(to&7)<<3|byte(base&7)).imm32(disp)
}

func (a *code) store(base reg, disp uint32, from reg) *code {
	return a.raw(0x48|byte(from>>3)<<2|byte(base>>3), 0x89, 0x80|byte(from&7)<<3|byte(base&7)).imm32(disp)
}

func (a *code) inc(r reg) *code { return a.raw(0x48|byte(r>>3), 0xff, 0xc0|byte(r&7)) }

func (a *code) syscall() *code { return a.raw(0x0f, 0x05) }

// call makes a system call with the arguments given.
func (a *code) call(nr uint64, args ...uint64) *code {
	for i, v := range args {
		a.mov([]reg{di, si, dx, r10, r8, r9}[i], v)
	}
	return a.mov(ax, nr).syscall()
}

// here is the offset of the next instruction; jmp goes back to such.
func (a *code) here() int { return len(*a) }

func (a *code) jmp(to int) *code { return a.raw(0xe9).imm32(uint32(to - len(*a) - 4)) }

// cmp compares r with v; jne goes to a place before, jeq too.
func (a *code) cmp(r reg, v uint32) *code {
	return a.raw(0x48|byte(r>>3), 0x81, 0xf8|byte(r&7)).imm32(v)
}

func (a *code) jne(to int) *code { return a.raw(0x0f, 0x85).imm32(uint32(to - len(*a) - 4)) }

// exit ends the context with the value of register r.
func (a *code) exit(r reg) *code { return a.move(di, r).mov(ax, unix.SYS_EXIT).syscall() }

const (
	textAddr  = 0x400000
	dataAddr  = 0x600000
	guestSize = 1 << 20 // of text and of data
)

// A guest is an address space with some code and data, and the memory file they
// come from: text at offset 0, data behind it.
type guest struct {
	t   testing.TB
	p   *Platform
	fd  int
	mem []byte
	as  platform.AddressSpace

	patches int
	hidden  []uint64 // addresses of its pages; their memory is in the upper half of text
}

// newGuest returns a guest whose text is not rewritten, newPatchedGuest one whose
// text is.
func newGuest(t testing.TB, p *Platform, text *code) *guest {
	t.Helper()
	return makeGuest(t, p, text, false)
}

func newPatchedGuest(t testing.TB, p *Platform, text *code) *guest {
	t.Helper()
	return makeGuest(t, p, text, true)
}

func makeGuest(t testing.TB, p *Platform, text *code, patched bool) *guest {
	t.Helper()
	g := &guest{t: t, p: p}
	var err error
	if g.fd, g.mem, err = sharedFile("guest", 2*guestSize); err != nil {
		t.Fatal(err)
	}
	copy(g.mem, *text)
	var rewrite platform.Text
	if patched {
		rewrite = g
	}
	if g.as, err = p.NewAddressSpace(rewrite); err != nil {
		t.Fatal(err)
	}
	g.apply(g.as, nil)
	t.Cleanup(func() {
		g.as.Release()
		unix.Munmap(g.mem)
		unix.Close(g.fd)
	})
	return g
}

// Guests are their own platform.Text; hidden memory is the upper half of text's.
const hiddenOffset = guestSize / 2

func (g *guest) ReadText(addr uint64, p []byte) error {
	if addr < textAddr || addr+uint64(len(p)) > textAddr+guestSize {
		return unix.EFAULT
	}
	copy(p, g.mem[addr-textAddr:])
	return nil
}

func (g *guest) PatchText(c platform.Context, addr uint64, old, new []byte) bool {
	g.patches++
	copy(g.mem[addr-textAddr:], new)
	return true
}

func (g *guest) ReserveHidden(c platform.Context, lo, hi, length uint64) (uint64, error) {
	lo = max(lo, textAddr+16*guestSize)
	for _, page := range g.hidden {
		if lo <= page && page < lo+length {
			lo = page + 0x1000
		}
	}
	if lo+length > hi {
		return 0, unix.ENOMEM
	}
	off := hiddenOffset + uint64(len(g.hidden))*0x1000
	err := g.as.Apply(c, []platform.Op{{Kind: platform.Map, Addr: lo, Length: length, Prot: unix.PROT_READ | unix.PROT_EXEC, FD: g.fd, Offset: off}})
	for page := lo; page < lo+length; page += 0x1000 {
		g.hidden = append(g.hidden, page)
	}
	return lo, err
}

func (g *guest) WriteHidden(c platform.Context, addr uint64, code []byte) error {
	i := slices.Index(g.hidden, addr&^0xfff)
	copy(g.mem[hiddenOffset+i*0x1000+int(addr&0xfff):], code)
	return nil
}

// apply maps the guest's text and data.
func (g *guest) apply(as platform.AddressSpace, c platform.Context) {
	g.t.Helper()
	if err := as.Apply(c, g.layout()); err != nil {
		g.t.Fatal(err)
	}
}

// layout is the guest's text and data.
func (g *guest) layout() []platform.Op {
	return []platform.Op{
		{Kind: platform.Map, Addr: textAddr, Length: guestSize, Prot: unix.PROT_READ | unix.PROT_EXEC, FD: g.fd},
		{Kind: platform.Map, Addr: dataAddr, Length: guestSize, Prot: unix.PROT_READ | unix.PROT_WRITE, FD: g.fd, Offset: guestSize},
	}
}

func (g *guest) data(off int) uint64 { return binary.LittleEndian.Uint64(g.mem[guestSize+off:]) }

func (g *guest) setData(off int, v uint64) {
	binary.LittleEndian.PutUint64(g.mem[guestSize+off:], v)
}

// A task is a context with a handler made of functions. A system call that
// syscall does not know ends the context if it is exit, and fails otherwise.
type task struct {
	g *guest
	platform.Context
	syscall   func(tk *task, nr uint64, args [6]uint64) platform.Disposition
	fault     func(tk *task, f platform.Fault) platform.Disposition
	interrupt func(tk *task) platform.Disposition
	kill      func() // HandleKill
	death     func() // HandleDeath

	onExit func() // in exit's upcall

	code    uint64 // of exit
	faults  []platform.Fault
	ints    atomic.Int32
	ended   chan struct{} // closed by exit and by death
	died    bool
	upcalls atomic.Int32
}

func (g *guest) newTask() *task {
	tk := &task{g: g, ended: make(chan struct{})}
	tk.Context = g.p.NewContext(tk)
	r := &tk.State().Regs
	r.Rip = textAddr
	r.Rsp = dataAddr + guestSize
	r.Eflags = 0x202
	return tk
}

func (tk *task) start(as platform.AddressSpace) *task {
	tk.g.t.Helper()
	if err := tk.Start(as); err != nil {
		tk.g.t.Fatal(err)
	}
	return tk
}

func (tk *task) wait() *task {
	tk.g.t.Helper()
	select {
	case <-tk.ended:
	case <-time.After(20 * time.Second):
		panic("the context has not ended")
	}
	return tk
}

// only checks that the upcall is the only one.
func (tk *task) only() func() {
	if tk.upcalls.Add(1) != 1 {
		tk.g.t.Error("two upcalls at a time")
	}
	return func() { tk.upcalls.Add(-1) }
}

func (tk *task) HandleSyscall(c platform.Context) platform.Disposition {
	defer tk.only()()
	nr, args := c.State().Syscall()
	if nr == unix.SYS_EXIT {
		tk.code = args[0]
		if tk.onExit != nil {
			tk.onExit()
		}
		close(tk.ended)
		return platform.Exit
	}
	if tk.syscall == nil {
		c.State().SetReturn(errNoSys)
		return platform.Resume
	}
	return tk.syscall(tk, nr, args)
}

func (tk *task) HandleFault(c platform.Context, f platform.Fault) platform.Disposition {
	defer tk.only()()
	tk.faults = append(tk.faults, f)
	if tk.fault == nil {
		close(tk.ended)
		return platform.Exit
	}
	return tk.fault(tk, f)
}

func (tk *task) HandleInterrupt(c platform.Context) platform.Disposition {
	defer tk.only()()
	tk.ints.Add(1)
	if tk.interrupt == nil {
		return platform.Resume
	}
	return tk.interrupt(tk)
}

func (tk *task) HandleDeath(c platform.Context) {
	defer tk.only()()
	tk.died = true
	if tk.death != nil {
		tk.death()
	}
	close(tk.ended)
}

func (tk *task) HandleKill(c platform.Context) {
	if tk.kill != nil {
		tk.kill()
	}
}
