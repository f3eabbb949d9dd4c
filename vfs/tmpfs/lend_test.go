package tmpfs_test

import (
	"bytes"
	"math/rand"
	"testing"

	"casemate/netstack/pkt"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

func TestLend(t *testing.T) {
	ctx, mem := newContext(t)
	f := create(t, ctx, "/f")
	data := make([]byte, 8<<20)
	rand.New(rand.NewSource(1)).Read(data)
	if n, err := pwrite(ctx, f, data, 0); n != len(data) || err != nil {
		t.Fatal(n, err)
	}
	var lent []pkt.Frag
	for off := 0; off < len(data); {
		l, ok := f.Lend(ctx, int64(off), 1<<20)
		if !ok {
			t.Fatalf("nothing is lent at %d", off)
		}
		if !bytes.Equal(l.Bytes(), data[off:off+int(l.Len)]) {
			t.Fatalf("what is lent at %d is not the file's", off)
		}
		if room, ok := l.Room(); ok {
			t.Fatalf("%d bytes of the file could be overwritten", room.Buf.Cap()-int(room.Off))
		}
		lent = append(lent, l)
		off += int(l.Len)
	}
	l, ok := f.Lend(ctx, -1, 20_000)
	if !ok || l.Len != 20_000 || f.Pos() != 20_000 {
		t.Fatalf("at the position: %d bytes, %v, then at %d", l.Len, ok, f.Pos())
	}
	l.Buf.Unref()

	// The pages are the file's, and stay when they are not any more.
	data[100]++
	if _, err := pwrite(ctx, f, data[100:101], 100); err != nil {
		t.Fatal(err)
	}
	if lent[0].Bytes()[100] != data[100] {
		t.Error("a change does not show in what is lent")
	}
	if err := f.Truncate(ctx, 0); err != nil {
		t.Fatal(err)
	}
	other := create(t, ctx, "/other")
	if _, err := pwrite(ctx, other, make([]byte, len(data)), 0); err != nil {
		t.Fatal(err)
	}
	got := data[:0:0]
	for _, l := range lent {
		got = append(got, l.Bytes()...)
		l.Buf.Unref()
	}
	if !bytes.Equal(got, data) {
		t.Error("what is lent was given to others")
	}

	for _, x := range []*vfs.File{f, other} {
		name := map[*vfs.File]string{f: "/f", other: "/other"}[x]
		x.DecRef()
		if err := ctx.Unlink(vfs.Start{}, name); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := mem.Usage(); n >= 8<<20 || err != nil {
		t.Errorf("%d bytes are in use in the end, %v", n, err)
	}
}

func TestLendRefused(t *testing.T) {
	ctx, _ := newContext(t)
	f := create(t, ctx, "/f")
	defer f.DecRef()
	if _, err := pwrite(ctx, f, make([]byte, 1<<20), 1<<20); err != nil {
		t.Fatal(err)
	}
	write, err := ctx.Open(vfs.Start{}, "/f", unix.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer write.DecRef()
	for _, c := range []struct {
		why string
		f   *vfs.File
		off int64
		n   int
	}{
		{"a hole", f, 0, 1 << 20},
		{"few bytes", f, 1 << 20, 1000},
		{"the few bytes before the end", f, 2<<20 - 1000, 1 << 20},
		{"what is behind the end", f, 2 << 20, 1 << 20},
		{"a file that is not open for reading", write, 1 << 20, 1 << 20},
	} {
		if l, ok := c.f.Lend(ctx, c.off, c.n); ok {
			l.Buf.Unref()
			t.Errorf("lent: %s", c.why)
		}
	}
}
