package loader

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// exitCode is a program: exit_group(0), at the entry point.
var exitCode = []byte{0x31, 0xff, 0xb8, 231, 0, 0, 0, 0x0f, 0x05}

// An image is an ELF file under construction. Its fields can be spoilt.
type image struct {
	ident                    []byte
	typ, machine             uint16
	entry, phoff             uint64
	phentsize                uint16
	phnum                    int // -1: the number of phdrs
	phdrs                    []phdr
	interp                   []byte
	size                     int // of the file; 0: all
	code                     []byte
	codeOffset, interpOffset int
}

const (
	baseAddr = 0x400000
	imageLen = 0x2000
)

// staticImage is a program with one segment of two pages.
func staticImage() *image {
	return &image{
		ident: []byte("\x7fELF\x02\x01\x01"), typ: unix.ET_EXEC, machine: elfMachine,
		entry: baseAddr + 0x1000, phoff: 64, phentsize: phdrSize, phnum: -1,
		phdrs: []phdr{{typ: unix.PT_LOAD, flags: unix.PF_R | unix.PF_X, vaddr: baseAddr, filesz: imageLen, memsz: imageLen, align: 0x1000}},
		code:  exitCode, codeOffset: 0x1000, interpOffset: 0x1800,
	}
}

// pieImage is the same, independent of its position.
func pieImage() *image {
	i := staticImage()
	i.typ = unix.ET_DYN
	i.entry -= baseAddr
	i.phdrs[0].vaddr = 0
	return i
}

// withInterp adds a PT_INTERP.
func (i *image) withInterp(path string) *image {
	i.interp = append([]byte(path), 0)
	i.phdrs = append(i.phdrs, phdr{typ: unix.PT_INTERP, flags: unix.PF_R, offset: uint64(i.interpOffset), filesz: uint64(len(i.interp)), memsz: uint64(len(i.interp))})
	return i
}

func (i *image) bytes() []byte {
	le := binary.LittleEndian
	b := make([]byte, imageLen)
	copy(b, i.ident)
	le.PutUint16(b[16:], i.typ)
	le.PutUint16(b[18:], i.machine)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[24:], i.entry)
	le.PutUint64(b[32:], i.phoff)
	le.PutUint16(b[52:], 64)
	le.PutUint16(b[54:], i.phentsize)
	n := i.phnum
	if n < 0 {
		n = len(i.phdrs)
	}
	le.PutUint16(b[56:], uint16(n))
	for j, p := range i.phdrs {
		h := b[64+j*phdrSize:]
		le.PutUint32(h, p.typ)
		le.PutUint32(h[4:], p.flags)
		for k, v := range []uint64{p.offset, p.vaddr, p.vaddr, p.filesz, p.memsz, p.align} {
			le.PutUint64(h[8+8*k:], v)
		}
	}
	copy(b[i.codeOffset:], i.code)
	copy(b[i.interpOffset:], i.interp)
	if i.size > 0 {
		b = b[:min(i.size, len(b))]
	}
	return b
}
