package overlay_test

import (
	"slices"
	"strings"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/overlay"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// union is a context whose root is a union of two layers, and one whose root is the
// lower layer, which must not change.
type union struct {
	testing.TB
	*vfs.Context
	lower *vfs.Context
}

var cwd vfs.Start

// newUnion returns a union over a lower layer that prepare fills.
func newUnion(t testing.TB, prepare func(w *union)) *union {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	c := cred.NewRoot(ns)
	lower := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755}).Superblock()
	upper := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755}).Superblock()
	below := &union{TB: t, Context: vfs.NewContext(c, v.NewNamespace(ns, lower, 0))}
	prepare(below)
	up := overlay.Whole(upper)
	fs, err := overlay.New(v, overlay.Options{Upper: &up, Lower: []overlay.Layer{overlay.Whole(lower)}})
	if err != nil {
		t.Fatal(err)
	}
	return &union{TB: t, Context: vfs.NewContext(c, v.NewNamespace(ns, fs.Superblock(), 0)), lower: below.Context}
}

func (w *union) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *union) want(err, want error) {
	w.Helper()
	if err != want {
		w.Errorf("got %v, want %v", err, want)
	}
}

func (w *union) write(path, data string) {
	w.Helper()
	f, err := w.Open(cwd, path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
	w.must(err)
	defer f.DecRef()
	w.writeTo(f, data)
}

func (w *union) writeTo(f *vfs.File, data string) {
	w.Helper()
	s := usermem.Kernel([]byte(data))
	if n, err := f.Write(w.Context, &s, 0); n != len(data) || err != nil {
		w.Fatalf("write: %d, %v", n, err)
	}
}

func read(ctx *vfs.Context, path string) string {
	f, err := ctx.Open(cwd, path, unix.O_RDONLY, 0)
	if err != nil {
		return err.Error()
	}
	defer f.DecRef()
	return readFrom(ctx, f)
}

func readFrom(ctx *vfs.Context, f *vfs.File) string {
	buf := make([]byte, 1000)
	s := usermem.Kernel(buf)
	n, err := f.Pread(ctx, &s, 0, 0)
	if err != nil {
		return err.Error()
	}
	return string(buf[:n])
}

func (w *union) list(path string) string {
	w.Helper()
	f, err := w.Open(cwd, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	w.must(err)
	defer f.DecRef()
	var names []string
	w.must(f.ReadDir(w.Context, &vfs.DirEmitter{Func: func(name string, _ uint64, _ uint8, _ int64) bool {
		if name != "." && name != ".." {
			names = append(names, name)
		}
		return true
	}}))
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (w *union) stat(path string) unix.Statx_t {
	w.Helper()
	p, err := w.Walk(cwd, path, 0)
	w.must(err)
	defer p.DecRef()
	var st unix.Statx_t
	w.must(w.Context.Stat(p, unix.STATX_BASIC_STATS, 0, &st))
	return st
}

func prepare(w *union) {
	w.must(w.Mkdir(cwd, "/d", 0o755))
	w.must(w.Mkdir(cwd, "/d/sub", 0o755))
	w.write("/d/f", "lower")
	w.write("/d/g", "gg")
	w.write("/d/sub/deep", "deep")
	w.must(w.Symlink("d/f", cwd, "/link"))
	p, err := w.Walk(cwd, "/d/f", 0)
	w.must(err)
	w.must(w.Link(p, cwd, "/d/hard"))
	p.DecRef()
}

func TestCopyUp(t *testing.T) {
	w := newUnion(t, prepare)
	before := w.stat("/d/f")
	old, err := w.Open(cwd, "/link", unix.O_RDONLY, 0)
	w.must(err)
	if got := readFrom(w.Context, old); got != "lower" {
		t.Errorf("lower file: %q", got)
	}
	f, err := w.Open(cwd, "/d/f", unix.O_RDWR|unix.O_APPEND, 0)
	w.must(err)
	w.writeTo(f, "+upper")
	f.DecRef()
	for _, path := range []string{"/d/f", "/link", "/d/hard"} {
		if got := read(w.Context, path); got != "lower+upper" {
			t.Errorf("%s after copy-up: %q", path, got)
		}
	}
	if got := readFrom(w.Context, old); got != "lower+upper" {
		t.Errorf("file that was open: %q", got)
	}
	old.DecRef()
	if got := read(w.lower, "/d/f"); got != "lower" {
		t.Errorf("the lower layer has changed: %q", got)
	}
	after := w.stat("/d/f")
	if before.Ino != after.Ino || after.Nlink != 2 {
		t.Errorf("inode %d became %d, %d links", before.Ino, after.Ino, after.Nlink)
	}
	p, err := w.Walk(cwd, "/d/g", 0)
	w.must(err)
	w.must(w.Setattr(p, &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0o600}))
	p.DecRef()
	if st := w.stat("/d/g"); st.Mode&0o7777 != 0o600 || st.Size != 2 {
		t.Errorf("chmod: %o, %d bytes", st.Mode, st.Size)
	}
}

func TestRemoval(t *testing.T) {
	w := newUnion(t, prepare)
	w.must(w.Unlink(cwd, "/d/g"))
	if got := w.list("/d"); got != "f hard sub" {
		t.Errorf("list: %q", got)
	}
	w.want(w.Rmdir(cwd, "/d/sub"), unix.ENOTEMPTY)
	w.must(w.Unlink(cwd, "/d/sub/deep"))
	w.must(w.Rmdir(cwd, "/d/sub"))
	if got := read(w.Context, "/d/sub/deep"); got != unix.ENOENT.Error() {
		t.Errorf("removed: %q", got)
	}
	// A new directory of that name does not show what was in the old one.
	w.must(w.Mkdir(cwd, "/d/sub", 0o755))
	if got := w.list("/d/sub"); got != "" {
		t.Errorf("new directory: %q", got)
	}
	w.write("/d/g", "new")
	if got := w.list("/d"); got != "f g hard sub" {
		t.Errorf("list: %q", got)
	}
	w.must(w.Unlink(cwd, "/d/g"))
	if got := read(w.Context, "/d/g"); got != unix.ENOENT.Error() {
		t.Errorf("the lower file is back: %q", got)
	}
	if got := read(w.lower, "/d/sub/deep") + read(w.lower, "/d/g"); got != "deepgg" {
		t.Errorf("the lower layer has changed: %q", got)
	}
}

func TestRename(t *testing.T) {
	w := newUnion(t, prepare)
	w.must(w.Rename(cwd, "/d", cwd, "/e", 0))
	if got := w.list("/"); got != "e link" {
		t.Errorf("list: %q", got)
	}
	if got := read(w.Context, "/e/sub/deep"); got != "deep" {
		t.Errorf("below the renamed directory: %q", got)
	}
	w.must(w.Mkdir(cwd, "/d", 0o755))
	if got := w.list("/d"); got != "" {
		t.Errorf("new directory of the old name: %q", got)
	}
	w.must(w.Rename(cwd, "/e/f", cwd, "/d/moved", 0))
	w.must(w.Rename(cwd, "/e/hard", cwd, "/e/g", 0))
	if a, b := read(w.Context, "/d/moved"), read(w.Context, "/e/g"); a != "lower" || b != "lower" {
		t.Errorf("moved: %q %q", a, b)
	}
	if got := w.list("/e"); got != "g sub" {
		t.Errorf("list: %q", got)
	}
	w.must(w.Rename(cwd, "/e/sub", cwd, "/e/g", unix.RENAME_EXCHANGE))
	if a, b := read(w.Context, "/e/sub"), read(w.Context, "/e/g/deep"); a != "lower" || b != "deep" {
		t.Errorf("exchanged: %q %q", a, b)
	}
	w.want(w.Rename(cwd, "/d", cwd, "/e/g", 0), unix.ENOTEMPTY)
	w.must(w.Unlink(cwd, "/e/g/deep"))
	w.must(w.Rename(cwd, "/d", cwd, "/e/g", 0))
	if got := w.list("/e/g"); got != "moved" {
		t.Errorf("replaced directory: %q", got)
	}
}

func TestUnlinkedFile(t *testing.T) {
	w := newUnion(t, prepare)
	f, err := w.Open(cwd, "/d/g", unix.O_RDONLY, 0)
	w.must(err)
	w.must(w.Unlink(cwd, "/d/g"))
	w.must(w.Setattr(f.Path(), &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0o400}))
	if got := readFrom(w.Context, f); got != "gg" {
		t.Errorf("unlinked file: %q", got)
	}
	if got := w.list("/d"); got != "f hard sub" {
		t.Errorf("list: %q", got)
	}
	f.DecRef()
}

// TestNumbers checks that directory entries have the inode numbers that stat gives.
func TestNumbers(t *testing.T) {
	w := newUnion(t, prepare)
	w.write("/d/new", "")
	f, err := w.Open(cwd, "/d", unix.O_RDONLY, 0)
	w.must(err)
	defer f.DecRef()
	seen := make(map[string]uint64)
	w.must(f.ReadDir(w.Context, &vfs.DirEmitter{Func: func(name string, ino uint64, _ uint8, _ int64) bool {
		seen[name] = ino
		return true
	}}))
	for _, name := range []string{"f", "new", "sub"} {
		if st := w.stat("/d/" + name); st.Ino != seen[name] {
			t.Errorf("%s: entry says %d, stat %d", name, seen[name], st.Ino)
		}
	}
	if seen["f"] == seen["new"] {
		t.Errorf("numbers: %v", seen)
	}
}
