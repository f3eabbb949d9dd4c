package pipe_test

import (
	"bytes"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/pipe"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

func newPipes(t testing.TB) (*vfs.Context, *pipe.FS) {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	root := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	fs := pipe.NewFS(v)
	return vfs.NewContext(cred.NewRoot(ns), v.NewNamespace(ns, root.Superblock(), 0)), fs
}

func write(ctx *vfs.Context, f *vfs.File, n int) (int, error) {
	s := usermem.Kernel(bytes.Repeat([]byte{'x'}, n))
	return f.Write(ctx, &s, 0)
}

func read(ctx *vfs.Context, f *vfs.File, n int) (int, error) {
	s := usermem.Kernel(make([]byte, n))
	return f.Read(ctx, &s, 0)
}

func TestPipe(t *testing.T) {
	ctx, fs := newPipes(t)
	r, w := fs.New(ctx, 0)
	if _, err := read(ctx, r, 10); err != unix.EAGAIN {
		t.Errorf("read of an empty pipe: %v", err)
	}
	if n, err := write(ctx, w, 1<<17); n != 1<<16 || err != nil {
		t.Errorf("fill: %d, %v", n, err)
	}
	if _, err := write(ctx, w, 1); err != unix.EAGAIN {
		t.Errorf("write to a full pipe: %v", err)
	}
	if w.Readiness(wait.Out) != 0 || r.Readiness(wait.In)&wait.In == 0 {
		t.Error("readiness of a full pipe")
	}
	if n, _ := read(ctx, r, 4095); n != 4095 {
		t.Errorf("read %d", n)
	}
	if _, err := write(ctx, w, 1); err != unix.EAGAIN {
		t.Errorf("no page is free yet: %v", err)
	}
	if n, _ := read(ctx, r, 1); n != 1 {
		t.Errorf("read %d", n)
	}
	if n, err := write(ctx, w, 1); n != 1 {
		t.Errorf("write: %d, %v", n, err)
	}
	if n, _ := read(ctx, r, 1<<20); n != 1<<16-4095 {
		t.Errorf("drained %d", n)
	}
	w.DecRef()
	if n, err := read(ctx, r, 1); n != 0 || err != nil {
		t.Errorf("end: %d, %v", n, err)
	}
	if r.Readiness(0)&wait.Hup == 0 {
		t.Error("no hang-up")
	}
	r.DecRef()
}

// TestMerge fills a pipe with writes that do not fit a page evenly, as Linux packs
// them: one page each when they do not fit the rest of the last.
func TestMerge(t *testing.T) {
	ctx, fs := newPipes(t)
	_, w := fs.New(ctx, 0)
	total := 0
	for {
		n, err := write(ctx, w, 3000)
		if err != nil {
			break
		}
		total += n
	}
	if total != 16*3000 {
		t.Errorf("filled with %d bytes", total)
	}
}

func TestBroken(t *testing.T) {
	ctx, fs := newPipes(t)
	r, w := fs.New(ctx, 0)
	r.DecRef()
	if _, err := write(ctx, w, 1); err != unix.EPIPE {
		t.Errorf("write without readers: %v", err)
	}
	if w.Readiness(0)&wait.Err == 0 {
		t.Error("no error event")
	}
	w.DecRef()
}

func TestPackets(t *testing.T) {
	ctx, fs := newPipes(t)
	r, w := fs.New(ctx, unix.O_DIRECT)
	write(ctx, w, 100)
	write(ctx, w, 200)
	if n, _ := read(ctx, r, 50); n != 50 {
		t.Errorf("first packet: %d", n)
	}
	if n, _ := read(ctx, r, 1000); n != 200 {
		t.Errorf("second packet: %d", n)
	}
}

func TestResize(t *testing.T) {
	ctx, fs := newPipes(t)
	_, w := fs.New(ctx, 0)
	p := pipe.Of(w)
	if n, err := p.Resize(5000, false); n != 8192 || err != nil {
		t.Errorf("resize: %d, %v", n, err)
	}
	if n, _ := write(ctx, w, 10000); n != 8192 {
		t.Errorf("write %d", n)
	}
	if _, err := p.Resize(4096, false); err != unix.EBUSY {
		t.Errorf("too small: %v", err)
	}
	if _, err := p.Resize(pipe.MaxSize+1, false); err != unix.EPERM {
		t.Errorf("too large: %v", err)
	}
	if n, err := p.Resize(pipe.MaxSize+1, true); n != 2*pipe.MaxSize {
		t.Errorf("privileged: %d, %v", n, err)
	}
	if n, _ := write(ctx, w, 4096); n != 4096 {
		t.Errorf("after growing: %d", n)
	}
}

func TestFIFO(t *testing.T) {
	ctx, _ := newPipes(t)
	if err := ctx.Mknod(vfs.Start{}, "/fifo", unix.S_IFIFO|0o600, 0); err != nil {
		t.Fatal(err)
	}
	open := func(flags uint32) (*vfs.File, bool) {
		t.Helper()
		f, err := ctx.Open(vfs.Start{}, "/fifo", flags, 0)
		if err != nil {
			t.Fatal(err)
		}
		return f, f.Ops().(vfs.OpenWaiter).OpenDone(f)
	}
	if _, err := ctx.Open(vfs.Start{}, "/fifo", unix.O_WRONLY|unix.O_NONBLOCK, 0); err != unix.ENXIO {
		t.Errorf("writer that does not wait: %v", err)
	}
	quiet, done := open(unix.O_RDONLY | unix.O_NONBLOCK)
	if !done || quiet.Readiness(0) != 0 {
		t.Error("reader that does not wait")
	}
	quiet.DecRef()
	r, done := open(unix.O_RDONLY)
	if done {
		t.Error("reader did not wait")
	}
	w, done := open(unix.O_WRONLY)
	if !done || !r.Ops().(vfs.OpenWaiter).OpenDone(r) {
		t.Error("the two did not meet")
	}
	write(ctx, w, 5)
	w.DecRef()
	if !r.Ops().(vfs.OpenWaiter).OpenDone(r) {
		t.Error("a writer that has gone again does not count")
	}
	if n, _ := read(ctx, r, 10); n != 5 {
		t.Errorf("read %d", n)
	}
	r.DecRef()
}

func TestTee(t *testing.T) {
	ctx, fs := newPipes(t)
	r1, w1 := fs.New(ctx, 0)
	r2, w2 := fs.New(ctx, 0)
	write(ctx, w1, 5000)
	if n, err := pipe.Tee(pipe.Of(r1), pipe.Of(w2), 4500); n != 4500 || err != nil {
		t.Errorf("tee: %d, %v", n, err)
	}
	if n, _ := read(ctx, r2, 10000); n != 4500 {
		t.Errorf("copy has %d", n)
	}
	n, err := pipe.Of(r1).Drain(6000, func(src []byte) (int, error) {
		return pipe.Of(w2).Fill(uint64(len(src)), func(dst []byte) (int, error) { return copy(dst, src), nil })
	})
	if n != 5000 || err != nil {
		t.Errorf("splice: %d, %v", n, err)
	}
}

func BenchmarkWriteRead(b *testing.B) {
	ctx, fs := newPipes(b)
	r, w := fs.New(ctx, 0)
	buf := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		ctx.Seq = usermem.Kernel(buf)
		w.Write(ctx, &ctx.Seq, 0)
		ctx.Seq = usermem.Kernel(buf)
		if n, err := r.Read(ctx, &ctx.Seq, 0); n != 64 {
			b.Fatal(n, err)
		}
	}
}
