package loader

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

const (
	r  = unix.PROT_READ
	rw = unix.PROT_READ | unix.PROT_WRITE
	rx = unix.PROT_READ | unix.PROT_EXEC
)

// load loads data, whose interpreter, if it has one, is interp.
func load(t *testing.T, data, interp []byte) (*Image, *fakeMemory) {
	t.Helper()
	f, i := &memFile{data: data, refs: 1}, &memFile{data: interp}
	p, err := Open(f, "/bin/prog", []string{"prog"}, nil, 8<<20, func(string) (File, error) {
		i.refs++
		return i, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	o := testOptions()
	m := newMemory(&o)
	im, err := p.Load(m, o)
	if err != nil {
		t.Fatal(err)
	}
	p.Release()
	if f.refs != 0 || i.refs != 0 {
		t.Errorf("%d and %d references are left", f.refs, i.refs)
	}
	return im, m
}

func checkRuns(t *testing.T, m *fakeMemory, want ...run) {
	t.Helper()
	o := testOptions()
	if got := m.runs(o.StackTop - 1<<20); !slices.Equal(got, want) {
		t.Errorf("mapped are %#x, want %#x", got, want)
	}
}

func TestSegments(t *testing.T) {
	i := staticImage()
	// Data: 0x10 bytes of the file, zeros for the rest of the page and two more.
	i.phdrs = append(i.phdrs, phdr{typ: unix.PT_LOAD, flags: unix.PF_R | unix.PF_W, offset: 0x1000, vaddr: baseAddr + 0x11000, filesz: 4, memsz: 0x2010})
	im, m := load(t, i.bytes(), nil)
	checkRuns(t, m,
		run{baseAddr, baseAddr + 0x2000, rx},
		run{baseAddr + 0x11000, baseAddr + 0x14000, rw})
	data := m.read(t, baseAddr+0x11000, 0x3000)
	if !bytes.Equal(data[:4], exitCode[:4]) || bytes.Count(data[4:], []byte{0}) != len(data)-4 {
		t.Errorf("data begins % x, or is not zero", data[:16])
	}
	o := testOptions()
	if want := baseAddr + 0x14000 + o.BrkOffset; im.BrkStart != want {
		t.Errorf("heap starts at %#x, want %#x", im.BrkStart, want)
	}
	if im.Entry != baseAddr+0x1000 {
		t.Errorf("entry is %#x", im.Entry)
	}
}

func TestPIE(t *testing.T) {
	interp := pieImage()
	interp.entry = 0x1004
	im, m := load(t, pieImage().withInterp("/ld.so").bytes(), interp.bytes())
	o := testOptions()
	base := m.next
	checkRuns(t, m, run{o.PIEBase, o.PIEBase + imageLen, rx}, run{base, base + imageLen, rx})
	if im.Entry != base+0x1004 {
		t.Errorf("entry is %#x", im.Entry)
	}
	aux := make(map[uint64]uint64)
	for _, e := range entries(im.Auxv) {
		aux[e[0]] = e[1]
	}
	for typ, want := range map[uint64]uint64{
		atPhdr: o.PIEBase + 64, atPhnum: 2, atPhent: 56, atBase: base, atEntry: o.PIEBase + 0x1000,
		atUID: 1, atEUID: 2, atGID: 3, atEGID: 4, atSecure: 0, atPagesz: 4096, atClktck: 100,
	} {
		if aux[typ] != want {
			t.Errorf("auxiliary entry %d is %#x, want %#x", typ, aux[typ], want)
		}
	}
	if s := m.string(t, aux[atExecfn]); s != "/bin/prog" {
		t.Errorf("AT_EXECFN is %q", s)
	}
	if got := m.read(t, aux[atRandom], 16); !bytes.Equal(got, o.Random[:]) {
		t.Errorf("AT_RANDOM is % x", got)
	}
	if want := o.PIEBase + imageLen + o.BrkOffset; im.BrkStart != want {
		t.Errorf("heap starts at %#x, want %#x", im.BrkStart, want)
	}
}

func TestStaticPIE(t *testing.T) {
	for _, align := range []uint64{0x1000, 2 << 20} {
		i := pieImage()
		i.phdrs[0].align = align
		im, m := load(t, i.bytes(), nil)
		base := im.Entry - 0x1000
		if base%align != 0 {
			t.Errorf("loaded at %#x, alignment %#x", base, align)
		}
		checkRuns(t, m, run{base, base + imageLen, rx})
		o := testOptions()
		if want := o.PIEBase + o.BrkOffset; im.BrkStart != want {
			t.Errorf("heap starts at %#x, want %#x", im.BrkStart, want)
		}
	}
}

func TestStack(t *testing.T) {
	o := testOptions()
	for _, c := range []struct {
		flags uint32
		prot  int
	}{{unix.PF_R | unix.PF_W, rw}, {unix.PF_R | unix.PF_W | unix.PF_X, rw | unix.PROT_EXEC}} {
		i := staticImage()
		i.phdrs = append(i.phdrs, phdr{typ: unix.PT_GNU_STACK, flags: c.flags})
		im, m := load(t, i.bytes(), nil)
		all := m.runs(o.Max)
		got := all[len(all)-1]
		if got.prot != c.prot || got.end != o.StackTop || got.start > im.SP-stackRoom+2*4096 {
			t.Errorf("stack is %#x, stack pointer %#x", got, im.SP)
		}
	}
	// Without PT_GNU_STACK too.
	_, m := load(t, staticImage().bytes(), nil)
	all := m.runs(o.Max)
	if got := all[len(all)-1]; got.prot != rw {
		t.Errorf("stack without PT_GNU_STACK is %#x", got)
	}
}

// TestReleaseOnError counts references when something cannot be opened.
func TestReleaseOnError(t *testing.T) {
	f := &memFile{data: []byte("#!/a\n"), refs: 1}
	g := &memFile{data: pieImage().withInterp("/b").bytes()}
	h := &memFile{data: []byte("text")}
	open := func(path string) (File, error) {
		if path == "/a" {
			g.refs++
			return g, nil
		}
		h.refs++
		return h, nil
	}
	if _, err := Open(f, "/script", []string{"x"}, nil, 8<<20, open); err != unix.EIO {
		t.Errorf("error is %v, want EIO", err)
	}
	if f.refs != 0 || g.refs != 0 || h.refs != 0 {
		t.Errorf("%d, %d and %d references are left", f.refs, g.refs, h.refs)
	}
}

// badFile fails after some bytes.
type badFile struct {
	data []byte
	err  error
}

func (f badFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= int64(len(f.data)) {
		return 0, f.err
	}
	return copy(p[:1], f.data[off:]), nil // byte by byte
}

func (badFile) DecRef() {}

func TestReadErrors(t *testing.T) {
	for _, c := range []struct {
		f    badFile
		want error
	}{
		{badFile{staticImage().bytes(), io.EOF}, nil},
		{badFile{staticImage().bytes()[:100], unix.EIO}, unix.EIO},
		{badFile{nil, unix.EISDIR}, unix.EISDIR},
		{badFile{staticImage().bytes()[:40], io.EOF}, unix.ENOEXEC},
	} {
		if _, err := Open(c.f, "/x", []string{"x"}, nil, 8<<20, noOpen); err != c.want {
			t.Errorf("error is %v, want %v", err, c.want)
		}
	}
}

// TestMutations loads files with some bytes spoilt in their headers. None may make
// the loader panic, or ask Memory for what makes no sense.
func TestMutations(t *testing.T) {
	seeds := [][]byte{staticImage().bytes(), pieImage().bytes(), pieImage().withInterp("/ld.so").bytes()}
	r := rand.New(rand.NewPCG(3, 4))
	loaded := 0
	for range 30000 {
		data := bytes.Clone(seeds[r.IntN(len(seeds))])
		for range 1 + r.IntN(6) {
			b := &data[r.IntN(64+3*phdrSize)]
			switch r.IntN(3) {
			case 0:
				*b = byte(r.Uint32())
			case 1:
				*b ^= 1 << r.IntN(8)
			default:
				*b = 0xff
			}
		}
		file := &memFile{data: data}
		p, err := Open(file, "/x", []string{"x"}, nil, 8<<20, func(string) (File, error) { return file, nil })
		if err != nil {
			continue
		}
		o := testOptions()
		m := newMemory(&o)
		m.largest = 1 << 20
		if im, err := p.Load(m, o); err == nil {
			loaded++
			if im.SP >= o.StackTop || im.Entry >= o.Max || im.SP%stackAlignment != 0 {
				t.Errorf("stack pointer %#x, entry %#x", im.SP, im.Entry)
			}
		}
		p.Release()
	}
	if loaded < 1000 {
		t.Errorf("only %d files could be loaded", loaded)
	}
}

// FuzzLoad looks for crashes.
func FuzzLoad(f *testing.F) {
	f.Add(staticImage().bytes())
	f.Add(pieImage().bytes())
	f.Add(pieImage().withInterp("/ld.so").bytes())
	f.Add([]byte("#!/bin/sh -x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file := &memFile{data: data}
		p, err := Open(file, "/x", []string{"x"}, nil, 8<<20, func(string) (File, error) { return file, nil })
		if err != nil {
			return
		}
		defer p.Release()
		o := testOptions()
		m := newMemory(&o)
		m.largest = 1 << 20
		p.Load(m, o)
	})
}
