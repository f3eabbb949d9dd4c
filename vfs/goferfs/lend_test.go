package goferfs_test

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"sync"
	"testing"
	"time"

	"casemate/netstack/pkt"
	"casemate/vfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// lendWorld is a world in which all files have settled, with a file of size bytes.
func lendWorld(t *testing.T, shared bool, size int) (w *world, data []byte) {
	w = newWorld(t, shared)
	w.fs.SetNow(func() time.Time { return time.Now().Add(time.Hour) })
	data = make([]byte, size)
	rand.New(rand.NewSource(1)).Read(data)
	w.must(os.WriteFile(w.host("f"), data, 0o644))
	return w, data
}

// lend checks that all of f is lent and is data, and returns the first Buf.
func (w *world) lend(f *vfs.File, data []byte) *pkt.Buf {
	w.Helper()
	var first *pkt.Buf
	for off := 0; off < len(data); {
		lent, ok := f.Lend(w.Context, int64(off), 1<<20)
		if !ok {
			w.Fatalf("nothing is lent at %d", off)
		}
		if end := off + int(lent.Len); end > len(data) || !bytes.Equal(lent.Bytes(), data[off:end]) {
			w.Fatalf("what is lent at %d is not the file's", off)
		}
		if off == 0 {
			first = lent.Buf
		}
		off += int(lent.Len)
		lent.Buf.Unref()
	}
	return first
}

// refused checks that f lends nothing.
func (w *world) refused(f *vfs.File, n int, why string) {
	w.Helper()
	if lent, ok := f.Lend(w.Context, 0, n); ok {
		lent.Buf.Unref()
		w.Errorf("lent: %s", why)
	}
}

func TestLend(t *testing.T) {
	w, data := lendWorld(t, false, 200_000)
	f := w.open("f", unix.O_RDWR)
	defer f.DecRef()
	first := w.lend(f, data)
	if w.lend(f, data) != first {
		t.Error("the file is not kept")
	}
	lent, ok := f.Lend(w.Context, 65_000, 1<<20)
	if !ok || lent.Len != pkt.LargeSize-65_000 {
		t.Fatalf("in the middle: %d bytes, %v", lent.Len, ok)
	}
	lent.Buf.Unref()
	lent, ok = f.Lend(w.Context, -1, 20_000)
	if !ok || lent.Len != 20_000 || f.Pos() != 20_000 {
		t.Fatalf("at the position: %d bytes, %v, then at %d", lent.Len, ok, f.Pos())
	}
	lent.Buf.Unref()

	host, err := os.OpenFile(w.host("f"), os.O_RDWR, 0)
	w.must(err)
	defer host.Close()
	// changed makes changes until the host's clock of files has gone on.
	changed := func(change func(b byte)) {
		t.Helper()
		before := w.hostTime("f")
		for i := 0; w.hostTime("f") == before; i++ {
			data[100] = byte(i)
			change(byte(i))
		}
		w.lend(f, data)
	}
	changed(func(b byte) { w.pwrite(f, string([]byte{b}), 100) })
	changed(func(b byte) {
		_, err := host.WriteAt([]byte{b}, 100)
		w.must(err)
	})
	data = data[:150_000]
	changed(func(byte) {
		data[100] = 7
		w.pwrite(f, "\x07", 100)
		w.must(w.Truncate(f.Path(), 150_000))
	})

	// What a mapping changes, the host's times do not tell.
	m, err := f.Ops().Mmap(w.Context, f, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.must(err)
	w.lend(f, data)
	w.must(m.AddMapping(nil, 0, 4096, 0, true))
	w.refused(f, 1<<20, "a file that can be written by a mapping")
	if n, _ := w.fs.Kept(); n != 0 {
		t.Errorf("%d bytes are kept of a file with a mapping", n)
	}
	m.RemoveMapping(nil, 0, 4096, 0, true)
	w.lend(f, data)
}

func TestLendRefused(t *testing.T) {
	w, _ := lendWorld(t, false, 100_000)
	f := w.open("f", unix.O_RDONLY)
	defer f.DecRef()
	w.refused(f, 1000, "few bytes")
	w.fs.SetNow(time.Now)
	w.must(os.Chtimes(w.host("f"), time.Time{}, time.Unix(1, 0)))
	w.refused(f, 1<<20, "a file that has just changed")
	if _, ok := f.Lend(w.Context, 1<<40, 1<<20); ok {
		t.Error("lent: what is behind the end")
	}
	write := w.open("f", unix.O_WRONLY)
	defer write.DecRef()
	w.refused(write, 1<<20, "a file that is not open for reading")

	shared, _ := lendWorld(t, true, 100_000)
	f2 := shared.open("f", unix.O_RDONLY)
	defer f2.DecRef()
	shared.refused(f2, 1<<20, "a file of a tree that the host changes too")
}

func TestLendBounds(t *testing.T) {
	w, big := lendWorld(t, false, 4<<20+1)
	f := w.open("f", unix.O_RDONLY)
	w.refused(f, 1<<20, "a large file")
	f.DecRef()
	most := 0
	for i := range 6 {
		name := fmt.Sprint("f", i)
		w.must(os.WriteFile(w.host(name), big[:4<<20-i], 0o644))
		f := w.open(name, unix.O_RDONLY)
		w.lend(f, big[:4<<20-i])
		f.DecRef()
		n, _ := w.fs.Kept()
		most = max(most, n)
	}
	if most != 16<<20 {
		t.Errorf("%d bytes were kept, want 16 MiB", most)
	}
	for i := range 6 {
		w.must(w.Unlink(cwd, fmt.Sprint("f", i)))
	}
	if n, files := w.fs.Kept(); n != 0 || files != 0 {
		t.Errorf("%d bytes are kept of %d files that are gone", n, files)
	}
}

// hostTime is the host's ctime of a file.
func (w *world) hostTime(name string) unix.Timespec {
	w.Helper()
	var st unix.Stat_t
	w.must(unix.Stat(w.host(name), &st))
	return st.Ctim
}

// A lent Buf stays as it is, whatever becomes of the file.
func TestLentStays(t *testing.T) {
	w, data := lendWorld(t, false, 50_000)
	f := w.open("f", unix.O_RDWR)
	defer f.DecRef()
	lent, ok := f.Lend(w.Context, 0, 1<<20)
	if !ok {
		t.Fatal("nothing is lent")
	}
	w.pwrite(f, "others", 0)
	w.must(w.Truncate(f.Path(), 0))
	w.must(w.Unlink(cwd, "f"))
	if !bytes.Equal(lent.Bytes(), data) {
		t.Error("what was lent has changed")
	}
	lent.Buf.Unref()
	s := usermem.Kernel(make([]byte, 10))
	if n, err := f.Pread(w.Context, &s, 0, 0); n != 0 || err != nil {
		t.Errorf("then %d bytes are left, %v", n, err)
	}
}

// Files are lent, changed, mapped and removed at the same time; in the end nothing is kept.
func TestLendTogether(t *testing.T) {
	w, data := lendWorld(t, false, 100_000)
	f := w.open("f", unix.O_RDWR)
	m, err := f.Ops().Mmap(w.Context, f, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.must(err)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			for i := range 200 {
				if lent, ok := f.Lend(w.Context, int64(i%2)*pkt.LargeSize, 1<<20); ok {
					if !bytes.Equal(lent.Bytes()[1:], data[i%2*pkt.LargeSize:][1:lent.Len]) {
						t.Error("what is lent is not the file's")
					}
					lent.Buf.Unref()
				}
			}
		})
	}
	all.Go(func() {
		for range 50 {
			if err := m.AddMapping(nil, 0, 4096, 0, true); err != nil {
				t.Error(err)
			}
			m.RemoveMapping(nil, 0, 4096, 0, true)
		}
	})
	all.Go(func() {
		c := w.other()
		for i := range 50 {
			c.pwrite(f, string([]byte{byte(i)}), int64(i%2)*pkt.LargeSize)
		}
	})
	all.Wait()
	f.DecRef()
	w.must(w.Unlink(cwd, "f"))
	if n, files := w.fs.Kept(); n != 0 || files != 0 {
		t.Errorf("%d bytes are kept of %d files that are gone", n, files)
	}
}
