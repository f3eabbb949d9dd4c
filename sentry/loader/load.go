package loader

import (
	"math"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// A mapper maps the segments of one file.
type mapper struct {
	mem  Memory
	file File
	max  uint64 // end of the addresses that an application can use
}

// segment maps one PT_LOAD at addr, which has the same offset in its page as the
// segment's address, and returns the address of the first page. If total is not 0,
// that much room is looked for.
func (m *mapper) segment(addr uint64, p *phdr, flags int, total uint64) (uint64, error) {
	var zero uint64 // where the file's bytes end
	inPage := p.vaddr & arch.PageMask
	start := arch.PageRoundDown(addr)
	if p.filesz > 0 {
		var err error
		if start, err = m.fileBytes(start, p, flags, total); err != nil {
			return 0, err
		}
		zero = start + inPage + p.filesz
	} else if zero = start; start >= m.max {
		return 0, unix.ENOMEM
	}
	if p.memsz <= p.filesz {
		return start, nil
	}
	// No overflow: the caller has checked that the sizes are below max.
	end := start + inPage + p.memsz
	page, ok := arch.PageRoundUp(zero)
	if !ok || end > m.max {
		return 0, unix.ENOMEM
	}
	if p.filesz > 0 && zero < page {
		if _, err := m.mem.Zero(zero, page-zero); err != nil && p.prot()&unix.PROT_WRITE != 0 {
			return 0, unix.EFAULT
		}
	}
	end, _ = arch.PageRoundUp(end)
	if end > page {
		prot := unix.PROT_READ | unix.PROT_WRITE | p.prot()&unix.PROT_EXEC
		_, err := m.mem.Map(Mapping{Addr: page, Length: end - page, Prot: prot, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED})
		if err != nil {
			return 0, err
		}
	}
	return start, nil
}

// fileBytes maps the part of a segment that is in the file.
func (m *mapper) fileBytes(start uint64, p *phdr, flags int, total uint64) (uint64, error) {
	inPage := p.vaddr & arch.PageMask
	if p.filesz > m.max || p.offset < inPage {
		return 0, unix.EINVAL
	}
	size, _ := arch.PageRoundUp(p.filesz + inPage)
	whole, ok := arch.PageRoundUp(total)
	if !ok {
		return 0, unix.ENOMEM
	}
	whole = max(whole, size)
	off := p.offset - inPage
	if off&arch.PageMask != 0 || off > math.MaxInt64-whole {
		return 0, unix.EINVAL
	}
	at, err := m.mem.Map(Mapping{
		Addr: start, Length: whole, Prot: p.prot(),
		Flags: unix.MAP_PRIVATE | flags, File: m.file, Offset: off,
	})
	if err != nil {
		return 0, err
	}
	if whole > size {
		if err := m.mem.Unmap(at+size, whole-size); err != nil {
			return 0, err
		}
	}
	return at, nil
}

// checkSegment checks a segment at address vaddr (with the bias): bad is the
// error.
func (m *mapper) checkSegment(vaddr uint64, p *phdr, bad error) error {
	if vaddr >= m.max || p.filesz > p.memsz || p.memsz > m.max || m.max-p.memsz < vaddr {
		return bad
	}
	return nil
}

// program maps the segments of the program and fills in its part of im. It
// returns the load bias, and the address of the program headers in memory, 0 if
// they are not there.
func (p *Program) program(mem Memory, o *Options, im *Image) (bias, phdrs uint64, err error) {
	e := p.elf
	m := mapper{mem: mem, file: p.File, max: o.Max}
	first := true
	var brk uint64
	im.StartCode = ^uint64(0)
	for i := range e.phdrs {
		ph := &e.phdrs[i]
		if ph.typ != unix.PT_LOAD {
			continue
		}
		flags, total := unix.MAP_FIXED, uint64(0)
		if first {
			if flags, total, bias, err = p.place(&m, o, ph); err != nil {
				return 0, 0, err
			}
		}
		// Linux makes this check after it has mapped the segment: the result is
		// the same, the process dies.
		if err := m.checkSegment(ph.vaddr, ph, unix.EINVAL); err != nil {
			return 0, 0, err
		}
		at, err := m.segment(bias+ph.vaddr, ph, flags, total)
		if err != nil {
			return 0, 0, err
		}
		if first && e.typ == unix.ET_DYN {
			bias += at - arch.PageRoundDown(bias+ph.vaddr)
		}
		first = false

		if d := e.phoff - ph.offset; e.phoff >= ph.offset && d < ph.filesz {
			phdrs = bias + ph.vaddr + d
		}
		start, fileEnd := bias+ph.vaddr, bias+ph.vaddr+ph.filesz
		if ph.flags&unix.PF_X != 0 {
			im.StartCode = min(im.StartCode, start)
			im.EndCode = max(im.EndCode, fileEnd)
		}
		im.StartData = max(im.StartData, start)
		im.EndData = max(im.EndData, fileEnd)
		brk = max(brk, start+ph.memsz)
	}
	if im.StartCode == ^uint64(0) {
		im.StartCode = 0
	}
	// A program that is a loader itself lies among the mappings, where there is
	// no room to grow.
	if e.typ == unix.ET_DYN && p.interp == nil {
		brk = o.PIEBase
	}
	if brk, ok := arch.PageRoundUp(brk); ok && brk+o.BrkOffset < o.Max {
		im.BrkStart = brk + o.BrkOffset
	} else {
		im.BrkStart = brk
	}
	return bias, phdrs, nil
}

// place decides where the first segment of the program goes.
func (p *Program) place(m *mapper, o *Options, first *phdr) (flags int, total, bias uint64, err error) {
	e := p.elf
	if e.typ == unix.ET_EXEC {
		return unix.MAP_FIXED_NOREPLACE, 0, 0, nil
	}
	total = e.totalSize()
	if total == 0 {
		return 0, 0, 0, unix.EINVAL
	}
	align := e.alignment()
	switch {
	case p.interp != nil:
		bias = o.PIEBase &^ (align - 1)
		flags = unix.MAP_FIXED_NOREPLACE
	case align > arch.PageSize:
		// Find room, and the aligned address below.
		whole, ok := arch.PageRoundUp(total)
		if !ok || whole > m.max || align > m.max {
			return 0, 0, 0, unix.ENOMEM
		}
		at, err := m.mem.Map(Mapping{Length: whole + align, Prot: unix.PROT_NONE, Flags: unix.MAP_PRIVATE})
		if err != nil {
			return 0, 0, 0, err
		}
		if err := m.mem.Unmap(at, whole+align); err != nil {
			return 0, 0, 0, err
		}
		bias = (at + align - 1) &^ (align - 1)
		flags = unix.MAP_FIXED_NOREPLACE
	}
	return flags, total, arch.PageRoundDown(bias - first.vaddr), nil
}

// interpreter maps the interpreter; bias is the program's. It returns the
// interpreter's own bias.
func (p *Program) interpreter(mem Memory, o *Options, programBias uint64) (bias uint64, err error) {
	e := p.ielf
	if e.typ != unix.ET_EXEC && e.typ != unix.ET_DYN {
		return 0, unix.ENOEXEC
	}
	total := e.totalSize()
	if total == 0 {
		return 0, unix.EINVAL
	}
	m := mapper{mem: mem, file: p.interp, max: o.Max}
	first := true
	for i := range e.phdrs {
		ph := &e.phdrs[i]
		if ph.typ != unix.PT_LOAD {
			continue
		}
		if first && e.typ == unix.ET_DYN && programBias != 0 {
			bias = -ph.vaddr // anywhere
		}
		if err := m.checkSegment(ph.vaddr, ph, unix.ENOMEM); err != nil {
			return 0, err
		}
		flags := 0
		if e.typ == unix.ET_EXEC || !first {
			flags = unix.MAP_FIXED
		}
		at, err := m.segment(bias+ph.vaddr, ph, flags, total)
		if err != nil {
			return 0, err
		}
		if first && e.typ == unix.ET_DYN {
			bias = at - arch.PageRoundDown(ph.vaddr)
		}
		first, total = false, 0
	}
	return bias, nil
}

// Load maps the program, its interpreter, the vDSO and the stack. An error, which
// may be any that Memory gives, means that the process cannot go on: Linux ends it
// with SIGSEGV.
func (p *Program) Load(mem Memory, o Options) (*Image, error) {
	im := &Image{}
	st, err := p.newStack(mem, &o)
	if err != nil {
		return nil, err
	}
	bias, phdrs, err := p.program(mem, &o, im)
	if err != nil {
		return nil, err
	}
	entry := bias + p.elf.entry
	im.Entry = entry
	var base uint64
	if p.interp != nil {
		if base, err = p.interpreter(mem, &o, bias); err != nil {
			return nil, err
		}
		im.Entry = base + p.ielf.entry
	}
	if im.Entry >= o.Max {
		return nil, unix.EINVAL
	}
	vdso, err := mem.MapVDSO()
	if err != nil {
		return nil, err
	}
	im.Auxv = p.auxv(&o, st, auxAddresses{phdrs: phdrs, base: base, entry: entry, vdso: vdso})
	if err := st.write(mem, im); err != nil {
		return nil, err
	}
	return im, nil
}
