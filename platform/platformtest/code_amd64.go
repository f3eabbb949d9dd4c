package platformtest

import "encoding/binary"

// Numbers of general registers in instructions.
const (
	rax = iota
	rcx
	rdx
	rbx
	rsp
	rbp
	rsi
	rdi
	r8
	r9
	r10
	r11
	r12
	r13
	r14
	r15 // scratch for addresses
)

// code is a snippet of machine code under construction.
type code []byte

// raw appends bytes.
func (p *code) raw(b ...byte) { *p = append(*p, b...) }

// mov sets a register to a constant.
func (p *code) mov(reg int, v uint64) {
	p.raw(0x48|byte(reg>>3), 0xb8|byte(reg&7))
	*p = binary.LittleEndian.AppendUint64(*p, v)
}

// load sets a register to the 8 bytes at addr.
func (p *code) load(reg int, addr uint64) {
	p.mov(r15, addr)
	p.raw(0x49|byte(reg>>3)<<2, 0x8b, byte(reg&7)<<3|7)
}

// store writes a register to the 8 bytes at addr.
func (p *code) store(addr uint64, reg int) {
	p.mov(r15, addr)
	p.raw(0x49|byte(reg>>3)<<2, 0x89, byte(reg&7)<<3|7)
}

// syscall makes a system call; its arguments are in place.
func (p *code) syscall(nr uint64, args ...uint64) {
	for i, a := range args {
		p.mov([...]int{rdi, rsi, rdx, r10, r8, r9}[i], a)
	}
	p.mov(rax, nr)
	p.raw(0x0f, 0x05)
}

// jump goes to addr.
func (p *code) jump(addr uint64) {
	p.mov(r15, addr)
	p.raw(0x41, 0xff, 0xe7)
}

// spin loops for ever.
func (p *code) spin() { p.raw(0xeb, 0xfe) }

// increment adds 1 to the 8 bytes at addr, atomically.
func (p *code) increment(addr uint64) {
	p.mov(r15, addr)
	p.raw(0xf0, 0x49, 0xff, 0x07)
}

// loadYMM sets a vector register (0 to 7) to the 32 bytes at addr.
func (p *code) loadYMM(reg int, addr uint64) {
	p.mov(r15, addr)
	p.raw(0xc4, 0xc1, 0x7e, 0x6f, byte(reg)<<3|7)
}

// storeYMM writes a vector register (0 to 7) to the 32 bytes at addr.
func (p *code) storeYMM(addr uint64, reg int) {
	p.mov(r15, addr)
	p.raw(0xc4, 0xc1, 0x7e, 0x7f, byte(reg)<<3|7)
}
