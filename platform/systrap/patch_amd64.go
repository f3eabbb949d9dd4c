package systrap

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

const (
	// patchAfter is how many system calls a site makes before it is rewritten.
	patchAfter = 8
	// recheckAfter is how many calls a rewritten site makes by notification
	// before it is looked at again: the application may have put other code
	// there.
	recheckAfter = 1 << 16

	siteSlots = 512

	trampolineSize = 64
	regionSize     = 0x4000 // of hidden memory, where there is room for so much
	hiddenPage     = 0x1000

	jumpLength = 5 // of jmp rel32
)

// A patcher rewrites the system call instructions of an address space: to be
// exact, the instruction before, which becomes a jump to a trampoline that does
// what it did and goes on in the stub. SYSCALL itself stays, for those who jump
// to it. If the instruction before is shorter than a jump, the bytes that follow
// it, SYSCALL's own, are the end of the jump as they are, which leaves only few
// addresses for the trampoline.
type patcher struct {
	text  platform.Text
	sites [siteSlots]site

	mu      sync.Mutex
	regions []region
}

// A site counts system calls made from an address. Sites share slots: the last
// one wins.
type site struct {
	ip    atomic.Uint64 // after the instruction
	calls atomic.Uint32
	state atomic.Uint32
}

const (
	siteNew = iota
	sitePatched
	siteRefused
)

// A region is hidden memory with trampolines.
type region struct {
	addr uint64
	ips  []uint64 // of the sites, by trampoline; 0 if there is none
}

func newPatcher(text platform.Text) *patcher {
	if text == nil {
		return nil
	}
	return &patcher{text: text}
}

// fork returns a patcher for a copy of the address space.
func (pt *patcher) fork(text platform.Text) *patcher {
	if pt == nil || text == nil {
		return newPatcher(text)
	}
	child := &patcher{text: text}
	for i := range pt.sites {
		from, to := &pt.sites[i], &child.sites[i]
		to.ip.Store(from.ip.Load())
		to.calls.Store(from.calls.Load())
		to.state.Store(from.state.Load())
	}
	pt.mu.Lock()
	for _, r := range pt.regions {
		child.regions = append(child.regions, region{r.addr, append([]uint64(nil), r.ips...)})
	}
	pt.mu.Unlock()
	return child
}

// called notes that c has made the system call nr at ip, by notification. It
// returns true if the site has been rewritten before. c is in an upcall.
func (pt *patcher) called(c *context, ip, nr uint64, args *[6]uint64) bool {
	s := &pt.sites[ip*0x9e3779b97f4a7c15>>55]
	if s.ip.Load() != ip {
		s.ip.Store(ip)
		s.calls.Store(1)
		s.state.Store(siteNew)
		return false
	}
	n := s.calls.Add(1)
	switch s.state.Load() {
	case sitePatched:
		if n%recheckAfter == 0 {
			s.state.Store(siteNew)
		}
		return true
	case siteRefused:
		return false
	}
	if n < patchAfter {
		return false
	}
	if pt.patch(c, ip, nr, args) {
		s.state.Store(sitePatched)
	} else {
		s.state.Store(siteRefused)
	}
	return false
}

// What may come before a SYSCALL, apart from moves of constants.
var (
	// movR9 is the last instruction of glibc's syscall(3): mov 8(%rsp),%r9.
	movR9 = []byte{0x4c, 0x8b, 0x4c, 0x24, 0x08}
	// movRDI is the last instruction of Go's Syscall6, mov %rbx,%rdi, and the one
	// before, mov %rcx,%rsi.
	movRDI = []byte{0x48, 0x89, 0xce, 0x48, 0x89, 0xdf}
	// xorSIL is glibc's way to make an operation of futex(2) private, and the
	// clock the real-time one: xor $imm8,%sil.
	xorSIL = []byte{0x40, 0x80, 0xf6}
	// xorEAX is how read(2) is asked for: xor %eax,%eax.
	xorEAX = []byte{0x31, 0xc0}
)

// displaceable returns the length of the last instruction before a SYSCALL which
// has made call nr, if it is of a kind that does the same elsewhere, else 0. Where
// bytes could be the end of a longer instruction, what they have loaded tells.
func displaceable(before []byte, nr uint64, args *[6]uint64) int {
	n := len(before)
	switch insn := before[n-jumpLength:]; {
	case bytes.Equal(insn, movR9):
		return len(insn)
	case before[n-jumpLength-1]&0xf0 == 0x40: // a REX prefix would make it another
	case insn[0] == 0xb8 && uint64(binary.LittleEndian.Uint32(insn[1:])) == nr: // mov $imm32,%eax
		return len(insn)
	case insn[0] == 0xbf && uint64(binary.LittleEndian.Uint32(insn[1:])) == args[0], // mov $imm32,%edi
		insn[0] == 0xbe && uint64(binary.LittleEndian.Uint32(insn[1:])) == args[1], // %esi
		insn[0] == 0xba && uint64(binary.LittleEndian.Uint32(insn[1:])) == args[2]: // %edx
		return len(insn)
	}
	switch {
	case bytes.HasSuffix(before, movRDI):
		return 3
	case bytes.Equal(before[n-4:n-1], xorSIL) && nr == unix.SYS_FUTEX:
		return 4
	case bytes.HasSuffix(before, xorEAX) && nr == unix.SYS_READ && before[n-3]&0xf0 != 0x40:
		return 2
	}
	return 0
}

// patch rewrites the site at ip, which has made call nr, if it is of a known kind.
func (pt *patcher) patch(c *context, ip, nr uint64, args *[6]uint64) bool {
	const ahead = 8
	var code [ahead + syscallLength + 1]byte
	if err := pt.text.ReadText(ip-syscallLength-ahead, code[:]); err != nil {
		return false
	}
	if code[ahead] != 0x0f || code[ahead+1] != 0x05 {
		return false
	}
	for n := 2; n <= jumpLength; n++ {
		if insn := code[ahead-n:]; insn[0] == 0xe9 {
			// Perhaps one of ours.
			rel := int32(binary.LittleEndian.Uint32(insn[1:]))
			if site, ok := pt.site(ip - syscallLength - uint64(n) + jumpLength + uint64(int64(rel))); ok && site == ip {
				return true
			}
		}
	}
	length := displaceable(code[:ahead], nr, args)
	if length == 0 {
		return false
	}
	start := ip - syscallLength - uint64(length)
	insn := code[ahead-length:]
	// Where the jump can lead: so many bytes of its offset are free, the others
	// are there.
	free := length - 1
	first := binary.LittleEndian.Uint32(insn[1:]) &^ (1<<(8*free) - 1)
	lo := start + jumpLength + uint64(int64(int32(first)))
	hi := lo + 1<<(8*free)
	if free == jumpLength-1 {
		const reach = 1<<31 - 1<<12
		lo, hi = start-min(reach, start), start+reach
	}
	pt.mu.Lock()
	defer pt.mu.Unlock()
	at, owner := pt.reserve(c, lo, hi)
	if owner == nil {
		return false
	}
	if err := pt.text.WriteHidden(c, at, trampoline(at, insn[:length], ip)); err != nil {
		return false
	}
	*owner = ip
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(at-(start+jumpLength)))
	if !pt.text.PatchText(c, start, insn[:length], jump[:length]) {
		*owner = 0
		return false
	}
	return true
}

// reserve returns the address of an unused trampoline in [lo, hi), and where to put
// down whose it is. mu is held.
func (pt *patcher) reserve(c *context, lo, hi uint64) (at uint64, owner *uint64) {
	for i := range pt.regions {
		if at, owner = pt.regions[i].unused(lo, hi); owner != nil {
			return at, owner
		}
	}
	r := region{ips: make([]uint64, regionSize/trampolineSize)}
	var err error
	if from, to := (lo+hiddenPage-1)&^(hiddenPage-1), hi&^(hiddenPage-1); to > from && to-from >= regionSize {
		r.addr, err = pt.text.ReserveHidden(c, from, to, regionSize)
	} else {
		// A page, the one in which the first trampoline in the range would be.
		r.ips = r.ips[:hiddenPage/trampolineSize]
		r.addr = (lo + trampolineSize - 1) &^ (hiddenPage - 1)
		r.addr, err = pt.text.ReserveHidden(c, r.addr, r.addr+hiddenPage, hiddenPage)
	}
	if err != nil {
		return 0, nil
	}
	pt.regions = append(pt.regions, r)
	return r.unused(lo, hi)
}

func (r *region) unused(lo, hi uint64) (at uint64, owner *uint64) {
	for i := range r.ips {
		if at = r.addr + uint64(i)*trampolineSize; r.ips[i] == 0 && at >= lo && at < hi {
			return at, &r.ips[i]
		}
	}
	return 0, nil
}

// site returns the site that the trampoline at addr, or around it, belongs to.
func (pt *patcher) site(addr uint64) (ip uint64, ok bool) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	for i := range pt.regions {
		r := &pt.regions[i]
		if n := (addr - r.addr) / trampolineSize; addr >= r.addr && n < uint64(len(r.ips)) && r.ips[n] != 0 {
			return r.ips[n], true
		}
	}
	return 0, false
}

// checkOffset is where in a trampoline it reads memory by GS, after the displaced
// instruction and what fills that up. If the application has set the base of GS by
// WRGSBASE, this may fault.
const checkOffset = jumpLength + 8

// trampoline returns the code of the trampoline at address at, for the site ip,
// where insn has been displaced.
func trampoline(at uint64, insn []byte, ip uint64) []byte {
	code := append(make([]byte, 0, trampolineSize), insn...)
	for len(code) < jumpLength {
		code = append(code, 0x90) // nop
	}
	rel := func(op []byte, to uint64) {
		code = append(code, op...)
		code = binary.LittleEndian.AppendUint32(code, uint32(to-(at+uint64(len(code))+4)))
	}
	code = append(code,
		0xf3, 0x48, 0x0f, 0xae, 0xc9, // rdgsbase %rcx
		0x48, 0xf7, 0xd1, // not %rcx
		0x65, 0x4c, 0x8b, 0x1c, 0x25, areaSelf, 0, 0, 0, // mov %gs:areaSelf,%r11
		0x4a, 0x8d, 0x4c, 0x19, 0x01, // lea 1(%rcx,%r11),%rcx
		0xe3, jumpLength, // jrcxz: GS is the area; all without touching flags
	)
	rel([]byte{0xe9}, ip-syscallLength) // jmp to SYSCALL
	rel([]byte{0x48, 0x8d, 0x0d}, ip)   // lea ip(%rip),%rcx
	code = append(code, 0x49, 0xbb)     // mov $fast,%r11
	code = binary.LittleEndian.AppendUint64(code, stubText+offFast)
	return append(code, 0x41, 0xff, 0xe3) // jmp *%r11
}
