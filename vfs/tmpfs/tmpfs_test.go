package tmpfs_test

import (
	"bytes"
	"math/rand"
	"sync"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

func newContext(t testing.TB) (*vfs.Context, *memfile.File) {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	return vfs.NewContext(cred.NewRoot(ns), v.NewNamespace(ns, fs.Superblock(), 0)), mem
}

func create(t testing.TB, ctx *vfs.Context, name string) *vfs.File {
	t.Helper()
	f, err := ctx.Open(vfs.Start{}, name, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func pwrite(ctx *vfs.Context, f *vfs.File, p []byte, off int64) (int, error) {
	s := usermem.Kernel(p)
	return f.Pwrite(ctx, &s, off, 0)
}

func pread(ctx *vfs.Context, f *vfs.File, p []byte, off int64) (int, error) {
	s := usermem.Kernel(p)
	return f.Pread(ctx, &s, off, 0)
}

// TestModel does random operations on a file and on a slice, which must stay the
// same.
func TestModel(t *testing.T) {
	ctx, _ := newContext(t)
	f := create(t, ctx, "/f")
	defer f.DecRef()
	const limit = 9 << 20 // over the first two leaves of the page table
	rnd := rand.New(rand.NewSource(1))
	model := make([]byte, 0, limit)
	grow := func(n int) {
		if n > len(model) {
			old := len(model)
			model = model[:n]
			clear(model[old:])
		}
	}
	for range 400 {
		off := rnd.Intn(limit - 300000)
		if rnd.Intn(3) == 0 {
			off = rnd.Intn(100000)
		}
		n := rnd.Intn(1 << rnd.Intn(18))
		switch rnd.Intn(6) {
		case 0, 1, 2:
			p := make([]byte, n)
			rnd.Read(p)
			if got, err := pwrite(ctx, f, p, int64(off)); got != n || err != nil {
				t.Fatalf("write of %d at %d: %d, %v", n, off, got, err)
			}
			if n > 0 {
				grow(off + n)
				copy(model[off:], p)
			}
		case 3:
			if err := f.Truncate(ctx, int64(off)); err != nil {
				t.Fatal(err)
			}
			if off < len(model) {
				model = model[:off]
			}
			grow(off)
		case 4:
			if n == 0 {
				continue
			}
			if err := f.Fallocate(ctx, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(n)); err != nil {
				t.Fatal(err)
			}
			if off < len(model) {
				clear(model[off:min(off+n, len(model))])
			}
		case 5:
			p := make([]byte, n)
			got, err := pread(ctx, f, p, int64(off))
			want := max(0, min(n, len(model)-off))
			if got != want || err != nil {
				t.Fatalf("read of %d at %d: %d, %v; want %d", n, off, got, err, want)
			}
			if want > 0 && !bytes.Equal(p[:got], model[off:off+got]) {
				t.Fatalf("read of %d at %d: wrong data", n, off)
			}
		}
	}
	all := make([]byte, len(model)+1)
	if n, _ := pread(ctx, f, all, 0); n != len(model) || !bytes.Equal(all[:n], model) {
		t.Fatalf("%d bytes at the end, want %d", n, len(model))
	}
}

func TestSparse(t *testing.T) {
	ctx, _ := newContext(t)
	f := create(t, ctx, "/f")
	defer f.DecRef()
	const far = 1 << 50
	if n, err := pwrite(ctx, f, []byte("end"), far); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	if off, err := f.Seek(ctx, 0, unix.SEEK_DATA); off != far || err != nil {
		t.Errorf("SEEK_DATA: %d, %v", off, err)
	}
	if off, err := f.Seek(ctx, far, unix.SEEK_HOLE); off != far+3 || err != nil {
		t.Errorf("SEEK_HOLE: %d, %v", off, err)
	}
	var st unix.Statx_t
	if err := ctx.Stat(f.Path(), unix.STATX_BASIC_STATS, 0, &st); err != nil || st.Blocks != 8 || st.Size != far+3 {
		t.Errorf("stat: %d blocks, %d bytes, %v", st.Blocks, st.Size, err)
	}
}

// space is an address space that only notes what is invalidated.
type space struct {
	mu   sync.Mutex
	gone [][3]uint64
}

func (s *space) InvalidateMapping(_ vfs.Mappable, addr, length, off uint64, _ bool) {
	s.mu.Lock()
	s.gone = append(s.gone, [3]uint64{addr, length, off})
	s.mu.Unlock()
}

func TestMapping(t *testing.T) {
	ctx, mem := newContext(t)
	f := create(t, ctx, "/f")
	defer f.DecRef()
	pwrite(ctx, f, bytes.Repeat([]byte{'a'}, 200000), 0)
	m, err := f.Ops().Mmap(ctx, f, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	s := &space{}
	const addr = 0x10000
	if err := m.AddMapping(s, addr, 1<<20, 0, true); err != nil {
		t.Fatal(err)
	}
	b, err := m.Translate(4096, 1<<20, true)
	if err != nil || !b.Memory || b.FD != mem.FD() {
		t.Fatalf("translate: %+v, %v", b, err)
	}
	mem.Bytes(b.Offset, b.Length)[0] = 'b'
	p := make([]byte, 1)
	if pread(ctx, f, p, 4096); p[0] != 'b' {
		t.Errorf("a store by the mapping is not in the file: %q", p)
	}
	if _, err := m.Translate(200704, 4096, false); err != unix.EIO {
		t.Errorf("past the end: %v", err)
	}
	if err := f.Truncate(ctx, 5000); err != nil {
		t.Fatal(err)
	}
	if len(s.gone) != 1 || s.gone[0] != [3]uint64{addr + 8192, 1<<20 - 8192, 8192} {
		t.Errorf("invalidated: %x", s.gone)
	}
	m.RemoveMapping(s, addr, 8192, 0, true)
	s.gone = nil
	f.Truncate(ctx, 0)
	if len(s.gone) != 1 || s.gone[0][0] != addr+8192 {
		t.Errorf("invalidated after a part was unmapped: %x", s.gone)
	}
}

func TestLimits(t *testing.T) {
	ctx, mem := newContext(t)
	typ := &tmpfs.Type{Mem: mem, TypeName: "tmpfs"}
	for _, bad := range []string{"size=x", "bogus", "mode=9", "uid=-1", "size=1q"} {
		if _, err := typ.Mount(ctx, "t", 0, bad); err != unix.EINVAL {
			t.Errorf("%s: %v", bad, err)
		}
	}
	ctx.Mkdir(vfs.Start{}, "/m", 0o755)
	p, err := ctx.Walk(vfs.Start{}, "/m", 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := ctx.NewMount("t", p, "tmpfs", 0, ""); err != unix.ENODEV {
		t.Errorf("type that is not registered: %v", err)
	}
	ctx.MountNS.VFS().RegisterType(typ)
	if err := ctx.NewMount("t", p, "tmpfs", 0, "size=64k,nr_inodes=3,mode=750"); err != nil {
		t.Fatal(err)
	}
	p.DecRef()
	a := create(t, ctx, "/m/a")
	create(t, ctx, "/m/b").DecRef()
	if _, err := ctx.Open(vfs.Start{}, "/m/c", unix.O_CREAT|unix.O_RDWR, 0o600); err != unix.ENOSPC {
		t.Errorf("too many inodes: %v", err)
	}
	if n, err := pwrite(ctx, a, make([]byte, 100000), 0); n != 65536 || err != nil {
		t.Errorf("too much data: %d, %v", n, err)
	}
	if err := a.Fallocate(ctx, 0, 0, 200000); err != unix.ENOSPC {
		t.Errorf("fallocate: %v", err)
	}
	a.DecRef()
	ctx.Unlink(vfs.Start{}, "/m/a")
	create(t, ctx, "/m/c").DecRef()
}

func BenchmarkWrite4K(b *testing.B) {
	ctx, _ := newContext(b)
	f := create(b, ctx, "/f")
	defer f.DecRef()
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		ctx.Seq = usermem.Kernel(buf)
		if n, err := f.Pwrite(ctx, &ctx.Seq, int64(i%256)*4096, 0); n != 4096 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkCreateUnlink(b *testing.B) {
	ctx, _ := newContext(b)
	b.ReportAllocs()
	for b.Loop() {
		create(b, ctx, "/f").DecRef()
		if err := ctx.Unlink(vfs.Start{}, "/f"); err != nil {
			b.Fatal(err)
		}
	}
}
