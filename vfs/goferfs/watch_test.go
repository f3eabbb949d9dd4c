package goferfs_test

import (
	"fmt"
	"os"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// want fails unless name has that content, or is missing if content is "".
func (w *world) wantFile(name, content string) {
	w.Helper()
	f, err := w.Open(cwd, name, unix.O_RDONLY, 0)
	switch {
	case content == "" && err == unix.ENOENT:
	case err != nil:
		w.Errorf("%s: %v, not %q", name, err, content)
	default:
		if got := w.pread(f); got != content {
			w.Errorf("%s: %q, not %q", name, got, content)
		}
		f.DecRef()
	}
}

// What an engine does to the names of a tree that is the sandbox's own is seen, though they
// have been looked up or listed before; and what is open stays what it was.
func TestEngineChangesOwnTree(t *testing.T) {
	for _, listed := range []bool{false, true} {
		t.Run(fmt.Sprintf("listed=%v", listed), func(t *testing.T) {
			w := newWorld(t, false)
			w.must(os.MkdirAll(w.host("d/sub"), 0o755))
			for _, name := range []string{"replaced", "removed", "moved", "kept"} {
				w.must(os.WriteFile(w.host("d/"+name), []byte("old"), 0o644))
			}
			w.must(os.WriteFile(w.host("d/sub/f"), []byte("deep"), 0o644))
			if listed {
				w.names("d")
				w.names("d/sub")
			}
			for _, name := range []string{"replaced", "removed", "moved", "kept", "sub"} {
				w.stat("/d/" + name)
			}
			w.wantFile("/d/made", "")
			w.wantFile("/d/there", "")
			w.wantFile("/d/sub/f", "deep")
			open := w.open("/d/replaced", unix.O_RDWR)
			defer open.DecRef()

			w.must(os.Remove(w.host("d/replaced")))
			w.must(os.WriteFile(w.host("d/replaced"), []byte("new, and longer"), 0o644))
			w.must(os.Remove(w.host("d/removed")))
			w.must(os.Rename(w.host("d/moved"), w.host("d/there")))
			w.must(os.WriteFile(w.host("d/made"), []byte("made"), 0o600))
			w.must(os.RemoveAll(w.host("d/sub")))
			w.must(os.MkdirAll(w.host("d/sub/more"), 0o700))
			w.must(os.WriteFile(w.host("d/sub/more/f"), []byte("deeper"), 0o644))
			w.client.CatchUp()

			w.wantFile("/d/replaced", "new, and longer")
			w.wantFile("/d/removed", "")
			w.wantFile("/d/moved", "")
			w.wantFile("/d/there", "old")
			w.wantFile("/d/made", "made")
			w.wantFile("/d/kept", "old")
			w.wantFile("/d/sub/f", "")
			w.wantFile("/d/sub/more/f", "deeper")
			if got := w.pread(open); got != "old" {
				t.Errorf("what was open is %q now", got)
			}
			if st := w.fstat(open); st.Nlink != 0 {
				t.Errorf("what was open has %d names", st.Nlink)
			}
			want := []string{"kept", "made", "replaced", "sub", "there"}
			if got := w.names("d"); !slices.Equal(got, want) {
				t.Errorf("names %q, not %q", got, want)
			}
			w.same("")
		})
	}
}

// What the sandbox does itself is nothing that makes it look again.
func TestOwnChangesAreExpected(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.host("d"), 0o755))
	w.client.CatchUp()
	w.names("")
	w.names("d")
	for i := range 3 {
		w.write("/d/f", "x")
		w.must(w.Mkdir(cwd, "/d/e", 0o755))
		w.must(w.Symlink("target", cwd, "/d/s"))
		w.must(w.Mknod(cwd, "/d/p", unix.S_IFIFO|0o600, 0))
		at, err := w.Walk(cwd, "/d/f", 0)
		w.must(err)
		w.must(w.Link(at, cwd, "/d/e/l"))
		at.DecRef()
		w.write("/d/g", "y")
		w.must(w.Rename(cwd, "/d/f", cwd, "/d/g", 0))
		w.must(w.Rename(cwd, "/d/g", cwd, "/d/s", unix.RENAME_EXCHANGE))
		w.must(w.Rename(cwd, "/d/p", cwd, "/d/e/p", 0))
		for _, name := range []string{"/d/s", "/d/g", "/d/e/l", "/d/e/p"} {
			w.must(w.Unlink(cwd, name))
		}
		w.want(w.Unlink(cwd, "/d/none"), unix.ENOENT)
		w.want(w.Mkdir(cwd, "/d/e", 0o755), unix.EEXIST)
		w.must(w.Rmdir(cwd, "/d/e"))
		w.client.CatchUp()
		dirs, expected, suspicious := w.fs.Watched()
		if dirs < 2 || expected != 0 || suspicious != 0 {
			t.Fatalf("round %d: of %d directories %d are suspicious, %d changes are expected", i, dirs, suspicious, expected)
		}
	}
	w.same("")
}

// A directory in which very many names have changed is read afresh, and so is all else.
func TestManyChangesByEngine(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.host("d"), 0o755))
	w.names("d")
	for i := range 5000 {
		w.wantFile(fmt.Sprintf("/d/%d", i), "")
	}
	for i := range 5000 {
		w.must(os.WriteFile(w.host(fmt.Sprintf("d/%d", i)), []byte("x"), 0o644))
	}
	w.client.CatchUp()
	for i := range 5000 {
		w.wantFile(fmt.Sprintf("/d/%d", i), "x")
	}
	w.same("")
}
