package loader

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// Sizes of Elf64_Ehdr and Elf64_Phdr, and how many bytes of program headers a
// file may have.
const (
	ehdrSize     = 64
	phdrSize     = 56
	maxPhdrBytes = 65536
)

// elfFile is what the loader needs of a file's headers.
type elfFile struct {
	typ   uint16
	entry uint64
	phoff uint64
	phdrs []phdr
}

// phdr is Elf64_Phdr.
type phdr struct {
	typ, flags           uint32
	offset, vaddr        uint64
	filesz, memsz, align uint64
}

// readFull reads all of p at off: EIO if the file ends before.
func readFull(f File, p []byte, off uint64) error {
	if off > 1<<63-1-uint64(len(p)) {
		return unix.EINVAL
	}
	for len(p) > 0 {
		n, err := f.ReadAt(p, int64(off))
		p = p[n:]
		off += uint64(n)
		switch {
		case len(p) == 0:
		case err == io.EOF || err == nil && n == 0:
			return unix.EIO
		case err != nil:
			return err
		}
	}
	return nil
}

// parseELF reads the headers of f, whose first bytes are head. bad is the error
// for a file that is none, ENOEXEC or, for an interpreter, ELIBBAD.
func parseELF(f File, head []byte, bad error) (*elfFile, error) {
	le := binary.LittleEndian
	if !bytes.HasPrefix(head, []byte("\x7fELF")) || len(head) < ehdrSize {
		return nil, bad
	}
	e := &elfFile{typ: le.Uint16(head[16:]), entry: le.Uint64(head[24:]), phoff: le.Uint64(head[32:])}
	size := phdrSize * int(le.Uint16(head[56:]))
	if le.Uint16(head[18:]) != elfMachine || le.Uint16(head[54:]) != phdrSize ||
		size == 0 || size > maxPhdrBytes {
		return nil, bad
	}
	table := make([]byte, size)
	if err := readFull(f, table, e.phoff); err != nil {
		return nil, bad
	}
	e.phdrs = make([]phdr, size/phdrSize)
	for i := range e.phdrs {
		p := table[i*phdrSize:]
		e.phdrs[i] = phdr{
			typ: le.Uint32(p), flags: le.Uint32(p[4:]),
			offset: le.Uint64(p[8:]), vaddr: le.Uint64(p[16:]),
			filesz: le.Uint64(p[32:]), memsz: le.Uint64(p[40:]), align: le.Uint64(p[48:]),
		}
	}
	return e, nil
}

// interpreter returns the path in the first PT_INTERP, "" if there is none.
func (e *elfFile) interpreter(f File) (string, error) {
	for i := range e.phdrs {
		p := &e.phdrs[i]
		if p.typ != unix.PT_INTERP {
			continue
		}
		if p.filesz > unix.PathMax || p.filesz < 2 {
			return "", unix.ENOEXEC
		}
		name := make([]byte, p.filesz)
		if err := readFull(f, name, p.offset); err != nil {
			return "", err
		}
		if name[len(name)-1] != 0 {
			return "", unix.ENOEXEC
		}
		name, _, _ = bytes.Cut(name, []byte{0})
		return string(name), nil
	}
	return "", nil
}

// executableStack says whether the file asks for a stack that can be executed.
func (e *elfFile) executableStack() bool {
	exec := false
	for i := range e.phdrs {
		if e.phdrs[i].typ == unix.PT_GNU_STACK {
			exec = e.phdrs[i].flags&unix.PF_X != 0
		}
	}
	return exec
}

// totalSize is the length of the range from the first to the last PT_LOAD, 0 if
// there is none or it makes no sense.
func (e *elfFile) totalSize() uint64 {
	lo, hi := ^uint64(0), uint64(0)
	for i := range e.phdrs {
		p := &e.phdrs[i]
		if p.typ != unix.PT_LOAD {
			continue
		}
		end, carry := bits.Add64(p.vaddr, p.memsz, 0)
		if carry != 0 {
			return 0
		}
		lo = min(lo, arch.PageRoundDown(p.vaddr))
		hi = max(hi, end)
	}
	if lo >= hi {
		return 0
	}
	return hi - lo
}

// alignment is the largest alignment that a PT_LOAD asks for, at least a page.
func (e *elfFile) alignment() uint64 {
	a := uint64(arch.PageSize)
	for i := range e.phdrs {
		p := &e.phdrs[i]
		if p.typ == unix.PT_LOAD && p.align&(p.align-1) == 0 {
			a = max(a, p.align)
		}
	}
	return a
}

// prot returns the protection of a segment.
func (p *phdr) prot() int {
	prot := 0
	if p.flags&unix.PF_R != 0 {
		prot |= unix.PROT_READ
	}
	if p.flags&unix.PF_W != 0 {
		prot |= unix.PROT_WRITE
	}
	if p.flags&unix.PF_X != 0 {
		prot |= unix.PROT_EXEC
	}
	return prot
}
