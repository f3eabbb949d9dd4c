package vdso

import (
	"encoding/binary"
	"sync"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// ParamsSize is the size of the page of parameters, which is mapped just before
// the image.
const ParamsSize = arch.PageSize

// A symbol is a function that the image exports, by two names, of which the plain
// one is weak.
type symbol struct {
	name string
	code []byte
}

// Image returns the ELF image, a multiple of the page size. It must not be
// changed. nil on architectures that have none.
func Image() []byte { return image() }

var image = sync.OnceValue(func() []byte {
	f := functions()
	return build([]symbol{
		{"clock_gettime", f[0]},
		{"gettimeofday", f[1]},
		{"time", f[2]},
		{"clock_getres", f[3]},
		{"getcpu", f[4]},
	})
})

const (
	soname  = "linux-vdso.so.1"
	version = "LINUX_2.6"
)

const (
	symSize   = 24 // sizeof(Elf64_Sym)
	textAlign = 32
)

// stringTable builds a string table.
type stringTable struct{ data []byte }

func (t *stringTable) add(s string) uint32 {
	off := uint32(len(t.data))
	t.data = append(append(t.data, s...), 0)
	return off
}

// A builder puts an image together.
type builder struct {
	data []byte
}

func (b *builder) u16(v uint16) { b.data = binary.LittleEndian.AppendUint16(b.data, v) }
func (b *builder) u32(v uint32) { b.data = binary.LittleEndian.AppendUint32(b.data, v) }
func (b *builder) u64(v uint64) { b.data = binary.LittleEndian.AppendUint64(b.data, v) }

// align pads to a multiple of n and returns the offset.
func (b *builder) align(n int) uint64 {
	for len(b.data)%n != 0 {
		b.data = append(b.data, 0)
	}
	return uint64(len(b.data))
}

// elfHash is the hash function of DT_HASH and of version names.
func elfHash(s string) uint32 {
	h := uint32(0)
	for i := range len(s) {
		h = h<<4 + uint32(s[i])
		g := h & 0xf0000000
		h = (h ^ g>>24) &^ g
	}
	return h
}

// gnuHash is the hash function of DT_GNU_HASH.
func gnuHash(s string) uint32 {
	h := uint32(5381)
	for i := range len(s) {
		h = h*33 + uint32(s[i])
	}
	return h
}

// build makes the image (System V ABI, chapters 4 and 5, and the GNU extensions for
// hashes and versions). All offsets are addresses too: there is one segment.
func build(symbols []symbol) []byte {
	const phnum = 3
	b := &builder{data: make([]byte, 64+phnum*56)}

	// Symbol 0 is none, 1 the version; then each function by both names.
	str := &stringTable{data: []byte{0}}
	sonameOff, versionOff := str.add(soname), str.add(version)
	names := []string{"", version}
	nameOffs := []uint32{0, versionOff}
	for _, s := range symbols {
		for _, n := range []string{"__vdso_" + s.name, s.name} {
			names = append(names, n)
			nameOffs = append(nameOffs, str.add(n))
		}
	}

	hash := b.align(8)
	b.hashTable(names)
	gnu := b.align(8)
	b.gnuHashTable(names)

	symtab := b.align(8)
	b.data = append(b.data, make([]byte, symSize*len(names))...)
	strtab := b.align(1)
	b.data = append(b.data, str.data...)
	versym := b.align(2)
	for i := range names {
		b.u16(min(uint16(i), 1) * 2) // version 2 but for symbol 0
	}
	verdef := b.align(8)
	b.versionDefinition(1, 1, soname, sonameOff, 28)
	b.versionDefinition(0, 2, version, versionOff, 0)

	dynamic := b.align(16)
	for _, d := range [][2]uint64{
		{unix.DT_SONAME, uint64(sonameOff)}, {unix.DT_SYMBOLIC, 0},
		{unix.DT_HASH, hash}, {unix.DT_GNU_HASH, gnu},
		{unix.DT_STRTAB, strtab}, {unix.DT_SYMTAB, symtab}, {unix.DT_STRSZ, uint64(len(str.data))}, {unix.DT_SYMENT, symSize},
		{unix.DT_VERSYM, versym}, {unix.DT_VERDEF, verdef}, {unix.DT_VERDEFNUM, 2},
		{0, 0},
	} {
		b.u64(d[0])
		b.u64(d[1])
	}
	dynamicEnd := b.align(1)

	// The frame information is before the text; its size is known.
	ehHdr := b.align(4)
	const ehSize = 20 + ehFrameSize
	text := (ehHdr + ehSize + textAlign - 1) &^ (textAlign - 1)
	offsets := make([]uint64, len(symbols))
	end := text
	for i, s := range symbols {
		offsets[i] = end
		end = (end + uint64(len(s.code)) + textAlign - 1) &^ (textAlign - 1)
	}
	b.ehFrame(ehHdr, text, end-text)

	for i, s := range symbols {
		b.align(textAlign)
		b.data = append(b.data, s.code...)
		// lea params(%rip),%r8: seven bytes, the last four of which are the
		// displacement from the next instruction.
		disp := -int64(ParamsSize) - int64(offsets[i]+7)
		binary.LittleEndian.PutUint32(b.data[offsets[i]+3:], uint32(disp))
	}
	size := b.align(textAlign)

	sym := b.data[symtab:]
	putSymbol(sym[symSize:], nameOffs[1], unix.STB_GLOBAL<<4|unix.STT_OBJECT, unix.SHN_ABS, 0, 0)
	for i, s := range symbols {
		p := sym[(2+2*i)*symSize:]
		putSymbol(p, nameOffs[2+2*i], unix.STB_GLOBAL<<4|unix.STT_FUNC, 1, offsets[i], uint64(len(s.code)))
		putSymbol(p[symSize:], nameOffs[3+2*i], unix.STB_WEAK<<4|unix.STT_FUNC, 1, offsets[i], uint64(len(s.code)))
	}

	putHeader(b.data, phnum)
	putPhdr(b.data[64:], unix.PT_LOAD, unix.PROT_READ|unix.PROT_EXEC, 0, size, arch.PageSize)
	putPhdr(b.data[64+56:], unix.PT_DYNAMIC, unix.PROT_READ, dynamic, dynamicEnd-dynamic, 8)
	putPhdr(b.data[64+2*56:], unix.PT_GNU_EH_FRAME, unix.PROT_READ, ehHdr, 20, 4)
	b.align(arch.PageSize)
	return b.data
}

// hashTable appends the table of DT_HASH.
func (b *builder) hashTable(names []string) {
	const nbucket = 3
	bucket := make([]uint32, nbucket)
	chain := make([]uint32, len(names))
	for i := 1; i < len(names); i++ {
		h := elfHash(names[i]) % nbucket
		chain[i] = bucket[h]
		bucket[h] = uint32(i)
	}
	b.u32(nbucket)
	b.u32(uint32(len(names)))
	for _, v := range append(bucket, chain...) {
		b.u32(v)
	}
}

// gnuHashTable appends the table of DT_GNU_HASH. There is one bucket, so that the
// symbols need not be sorted; a Bloom filter of all ones lets every name pass.
func (b *builder) gnuHashTable(names []string) {
	b.u32(1) // buckets
	b.u32(1) // index of the first symbol
	b.u32(1) // words of the filter
	b.u32(6) // shift of the filter
	b.u64(^uint64(0))
	b.u32(1) // the bucket
	for i, n := range names[1:] {
		h := gnuHash(n) &^ 1
		if i == len(names)-2 {
			h |= 1 // the last one of the chain
		}
		b.u32(h)
	}
}

// versionDefinition appends an Elf64_Verdef with its Elf64_Verdaux; the next one
// is next bytes on.
func (b *builder) versionDefinition(flags, index uint16, name string, nameOff, next uint32) {
	b.u16(1)
	b.u16(flags)
	b.u16(index)
	b.u16(1)
	b.u32(elfHash(name))
	b.u32(20)
	b.u32(next)
	b.u32(nameOff)
	b.u32(0)
}

// Sizes of the frame information.
const ehFrameSize = 24 + 32 + 4

// ehFrame appends .eh_frame_hdr and .eh_frame (LSB core, chapter 10): in all of
// the text, the return address is where the stack pointer points.
func (b *builder) ehFrame(hdr, text, length uint64) {
	frame := hdr + 20
	const cie, fde = 24, 32
	// The header: version 1, encodings (pcrel sdata4, udata4, datarel sdata4).
	b.data = append(b.data, 1, 0x1b, 0x03, 0x3b)
	b.u32(uint32(frame - (hdr + 4)))
	b.u32(1)
	b.u32(uint32(text - hdr))
	b.u32(uint32(frame + cie - hdr))

	// The CIE: version 1, augmentation "zR", code alignment 1, data alignment
	// -8, return address in column 16, pointers pcrel sdata4; CFA is rsp+8, the
	// return address at CFA-8.
	b.u32(cie - 4)
	b.u32(0)
	b.data = append(b.data, 1, 'z', 'R', 0, 1, 0x78, 16, 1, 0x1b,
		0x0c, 7, 8, // DW_CFA_def_cfa
		0x80|16, 1, // DW_CFA_offset
		0, 0)
	// The FDE.
	b.u32(fde - 4)
	b.u32(cie + 4)
	b.u32(uint32(text - (frame + cie + 8)))
	b.u32(uint32(length))
	b.data = append(b.data, make([]byte, fde-16)...)
	b.u32(0)
}

// putSymbol writes an Elf64_Sym.
func putSymbol(p []byte, name uint32, info byte, shndx uint16, value, size uint64) {
	le := binary.LittleEndian
	le.PutUint32(p, name)
	p[4] = info
	le.PutUint16(p[6:], shndx)
	le.PutUint64(p[8:], value)
	le.PutUint64(p[16:], size)
}

// putHeader writes the Elf64_Ehdr.
func putHeader(p []byte, phnum uint16) {
	le := binary.LittleEndian
	copy(p, "\x7fELF\x02\x01\x01")
	le.PutUint16(p[16:], unix.ET_DYN)
	le.PutUint16(p[18:], unix.EM_X86_64)
	le.PutUint32(p[20:], 1)
	le.PutUint64(p[32:], 64)
	le.PutUint16(p[52:], 64)
	le.PutUint16(p[54:], 56)
	le.PutUint16(p[56:], phnum)
	le.PutUint16(p[58:], 64) // size of section headers, of which there are none
}

// putPhdr writes an Elf64_Phdr. prot is in terms of mmap(2).
func putPhdr(p []byte, typ uint32, prot int, off, size, align uint64) {
	flags := uint32(unix.PF_R)
	if prot&unix.PROT_EXEC != 0 {
		flags |= unix.PF_X
	}
	le := binary.LittleEndian
	le.PutUint32(p, typ)
	le.PutUint32(p[4:], flags)
	for i, v := range []uint64{off, off, off, size, size, align} {
		le.PutUint64(p[8+8*i:], v)
	}
}
