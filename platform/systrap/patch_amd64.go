package systrap

import (
	"bytes"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"casemate/platform"
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
	regionSize     = 0x4000

	jumpLength = 5 // of jmp rel32
)

// A patcher rewrites the system call instructions of an address space: to be
// exact, the instruction before, which becomes a jump to a trampoline that does
// what it did and goes on in the stub. SYSCALL itself stays, for those who jump
// to it.
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
	ips  []uint64 // of the sites, by trampoline
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
func (pt *patcher) called(c *context, ip, nr uint64) bool {
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
	if pt.patch(c, ip, nr) {
		s.state.Store(sitePatched)
	} else {
		s.state.Store(siteRefused)
	}
	return false
}

// movR9 is what glibc's syscall(3) has before its SYSCALL: mov 8(%rsp),%r9.
var movR9 = []byte{0x4c, 0x8b, 0x4c, 0x24, 0x08}

// displaceable says whether the last five of the bytes before a SYSCALL which has
// made call nr are one instruction that does the same elsewhere.
func displaceable(before []byte, nr uint64) bool {
	insn := before[len(before)-jumpLength:]
	if bytes.Equal(insn, movR9) {
		return true
	}
	const (
		movEAX = 0xb8 // mov $imm32,%eax
		rex    = 0x40
	)
	// A REX prefix before it would make it another instruction.
	return insn[0] == movEAX && uint64(binary.LittleEndian.Uint32(insn[1:])) == nr &&
		before[len(before)-jumpLength-1]&0xf0 != rex
}

// patch rewrites the site at ip if it is of a known kind.
func (pt *patcher) patch(c *context, ip, nr uint64) bool {
	const ahead = jumpLength + 1
	var code [ahead + syscallLength]byte
	start := ip - syscallLength - jumpLength
	if err := pt.text.ReadText(start-1, code[:]); err != nil {
		return false
	}
	if code[ahead] != 0x0f || code[ahead+1] != 0x05 {
		return false
	}
	if code[1] == 0xe9 {
		// Perhaps one of ours.
		to := start + jumpLength + uint64(int64(int32(binary.LittleEndian.Uint32(code[2:]))))
		_, ok := pt.site(to)
		return ok
	}
	if !displaceable(code[:ahead], nr) {
		return false
	}
	pt.mu.Lock()
	defer pt.mu.Unlock()
	at, ok := pt.reserve(c, ip)
	if !ok {
		return false
	}
	old := code[1:ahead]
	if err := pt.text.WriteHidden(c, at, trampoline(at, old, ip)); err != nil {
		return false
	}
	jump := binary.LittleEndian.AppendUint32([]byte{0xe9}, uint32(at-(start+jumpLength)))
	return pt.text.PatchText(c, start, old, jump)
}

// reserve returns the address of an unused trampoline, for the site at ip. mu is
// held.
func (pt *patcher) reserve(c *context, ip uint64) (uint64, bool) {
	const near = 1<<31 - regionSize - 1<<12
	for i := range pt.regions {
		r := &pt.regions[i]
		if d := r.addr - ip + near; d < 2*near && len(r.ips) < regionSize/trampolineSize {
			r.ips = append(r.ips, ip)
			return r.addr + uint64(len(r.ips)-1)*trampolineSize, true
		}
	}
	addr, err := pt.text.ReserveHidden(c, ip, regionSize)
	if err != nil {
		return 0, false
	}
	if d := addr - ip + near; d >= 2*near {
		return 0, false
	}
	pt.regions = append(pt.regions, region{addr, []uint64{ip}})
	return addr, true
}

// site returns the site that the trampoline at addr, or around it, belongs to.
func (pt *patcher) site(addr uint64) (ip uint64, ok bool) {
	pt.mu.Lock()
	defer pt.mu.Unlock()
	for i := range pt.regions {
		r := &pt.regions[i]
		if n := (addr - r.addr) / trampolineSize; addr >= r.addr && n < uint64(len(r.ips)) {
			return r.ips[n], true
		}
	}
	return 0, false
}

// checkOffset is where in a trampoline it reads memory by GS, after the displaced
// instruction. If the application has set the base of GS by WRGSBASE, this may
// fault.
const checkOffset = jumpLength + 8

// trampoline returns the code of the trampoline at address at, for the site ip,
// where insn has been displaced.
func trampoline(at uint64, insn []byte, ip uint64) []byte {
	code := append(make([]byte, 0, trampolineSize), insn...)
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
