package vfs_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// world is a VFS with a tmpfs as root, and root's context.
type world struct {
	testing.TB
	*vfs.Context
	v   *vfs.VFS
	mem *memfile.File
}

func newWorld(t testing.TB) *world {
	t.Helper()
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mem.Close() })
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	mnt := v.NewNamespace(ns, fs.Superblock(), 0)
	v.RegisterType(&tmpfs.Type{Mem: mem, TypeName: "tmpfs"})
	return &world{TB: t, Context: vfs.NewContext(cred.NewRoot(ns), mnt), v: v, mem: mem}
}

// as returns a world of the same file systems for another user.
func (w *world) as(uid cred.UID, groups ...cred.GID) *world {
	c := *w
	c.Context = &vfs.Context{
		Cred: cred.New(uid, cred.GID(uid), groups, w.v.UserNS), FS: w.FS.Fork(), MountNS: w.MountNS,
		FileSizeLimit: unix.RLIM_INFINITY,
	}
	return &c
}

var cwd vfs.Start

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) want(err, want error) {
	w.Helper()
	if err != want {
		w.Errorf("got %v, want %v", err, want)
	}
}

func (w *world) write(path, data string) {
	w.Helper()
	f, err := w.Open(cwd, path, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC, 0o644)
	w.must(err)
	defer f.DecRef()
	s := usermem.Kernel([]byte(data))
	if n, err := f.Write(w.Context, &s, 0); n != len(data) || err != nil {
		w.Fatalf("write %s: %d, %v", path, n, err)
	}
}

func (w *world) read(path string) string {
	w.Helper()
	f, err := w.Open(cwd, path, unix.O_RDONLY, 0)
	if err != nil {
		return "error: " + err.Error()
	}
	defer f.DecRef()
	buf := make([]byte, 1<<16)
	s := usermem.Kernel(buf)
	n, err := f.Read(w.Context, &s, 0)
	if err != nil {
		return "error: " + err.Error()
	}
	return string(buf[:n])
}

func (w *world) exists(path string) error {
	p, err := w.Walk(cwd, path, 0)
	if err == nil {
		p.DecRef()
	}
	return err
}

func (w *world) path(path string) vfs.Path {
	w.Helper()
	p, err := w.Walk(cwd, path, vfs.WalkFollow)
	w.must(err)
	return p
}

func (w *world) list(path string) string {
	w.Helper()
	f, err := w.Open(cwd, path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	w.must(err)
	defer f.DecRef()
	var names []string
	e := &vfs.DirEmitter{Func: func(name string, _ uint64, _ uint8, _ int64) bool {
		names = append(names, name)
		return true
	}}
	w.must(f.ReadDir(w.Context, e))
	return strings.Join(names, " ")
}

func TestNames(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/a", 0o777))
	w.must(w.Mkdir(cwd, "/a/b/", 0o777))
	w.want(w.Mkdir(cwd, "/a/b", 0o777), unix.EEXIST)
	w.want(w.Mkdir(cwd, "/", 0o777), unix.EEXIST)
	w.want(w.Mkdir(cwd, "/x/y", 0o777), unix.ENOENT)
	w.write("/a/b/f", "hello")
	if got := w.read("a/../a/./b//f"); got != "hello" {
		t.Errorf("read: %q", got)
	}
	w.want(w.exists("/a/b/f/"), unix.ENOTDIR)
	w.want(w.exists("/a/b/f/x"), unix.ENOTDIR)
	w.want(w.exists(""), unix.ENOENT)
	w.want(w.exists("/"+strings.Repeat("n", 256)), unix.ENAMETOOLONG)
	w.want(w.Mkdir(cwd, "/a/b/f", 0), unix.EEXIST)
	w.want(w.Unlink(cwd, "/a/b"), unix.EISDIR)
	w.want(w.Unlink(cwd, "/a/b/f/"), unix.ENOTDIR)
	w.want(w.Rmdir(cwd, "/a/b/f"), unix.ENOTDIR)
	w.want(w.Rmdir(cwd, "/a"), unix.ENOTEMPTY)
	w.want(w.Rmdir(cwd, "/a/."), unix.EINVAL)
	w.want(w.Rmdir(cwd, "/a/.."), unix.ENOTEMPTY)
	w.want(w.Rmdir(cwd, "/"), unix.EBUSY)
	w.want(w.exists("/.."), nil)
	if got := w.list("/a"); got != ". .. b" {
		t.Errorf("list: %q", got)
	}
	w.must(w.Unlink(cwd, "/a/b/f"))
	w.want(w.exists("/a/b/f"), unix.ENOENT)
	w.must(w.Rmdir(cwd, "/a/b"))
	w.want(w.exists("/a/b"), unix.ENOENT)
}

func TestSymlinks(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/d", 0o777))
	w.write("/d/f", "data")
	w.must(w.Symlink("d", cwd, "/rel"))
	w.must(w.Symlink("/d/", cwd, "/abs"))
	w.must(w.Symlink("abs/f", cwd, "/file"))
	w.must(w.Symlink("loop", cwd, "/loop"))
	w.must(w.Symlink("new", cwd, "/dangling"))
	w.must(w.Symlink("/", cwd, "/d/top"))
	for _, p := range []string{"/rel/f", "/abs/f", "/file", "/d/top/d/top/file", "/rel/../d/f"} {
		if got := w.read(p); got != "data" {
			t.Errorf("%s: %q", p, got)
		}
	}
	_, err := w.Walk(cwd, "/loop", vfs.WalkFollow)
	w.want(err, unix.ELOOP)
	w.want(w.exists("/loop"), nil)
	_, err = w.Open(cwd, "/file", unix.O_RDONLY|unix.O_NOFOLLOW, 0)
	w.want(err, unix.ELOOP)
	_, err = w.Open(cwd, "/dangling", unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY, 0o644)
	w.want(err, unix.EEXIST)
	w.write("/dangling", "made")
	if got := w.read("/new"); got != "made" {
		t.Errorf("through a dangling link: %q", got)
	}
	// 40 links are followed, 41 are not.
	w.write("/l0", "end")
	for i := 1; i <= 41; i++ {
		w.must(w.Symlink(fmt.Sprintf("l%d", i-1), cwd, fmt.Sprintf("/l%d", i)))
	}
	if got := w.read("/l40"); got != "end" {
		t.Errorf("40 links: %q", got)
	}
	_, err = w.Walk(cwd, "/l41", vfs.WalkFollow)
	w.want(err, unix.ELOOP)

	dir := w.path("/d")
	defer dir.DecRef()
	for _, c := range []struct {
		path    string
		resolve uint64
		want    error
	}{
		{"f", unix.RESOLVE_BENEATH, nil},
		{"../d/f", unix.RESOLVE_BENEATH, unix.EXDEV},
		{"/d/f", unix.RESOLVE_BENEATH, unix.EXDEV},
		{"top/d/f", unix.RESOLVE_BENEATH, unix.EXDEV},
		{"top/f", unix.RESOLVE_IN_ROOT, nil},
		{"../../f", unix.RESOLVE_IN_ROOT, nil},
		{"top/f", unix.RESOLVE_NO_SYMLINKS, unix.ELOOP},
	} {
		p, err := w.Walk(vfs.Start{Path: dir, Resolve: c.resolve}, c.path, vfs.WalkFollow)
		if err != c.want {
			t.Errorf("%s with %#x: %v, want %v", c.path, c.resolve, err, c.want)
		}
		p.DecRef()
	}
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/private", 0o700))
	w.write("/private/f", "x")
	w.must(w.Mkdir(cwd, "/sticky", 0o1777))
	w.FS.SetUmask(0)
	w.must(w.Mkdir(cwd, "/open", 0o1777))
	u := w.as(1000, 50)
	w.want(u.exists("/private/f"), unix.EACCES)
	w.want(u.Mkdir(cwd, "/m", 0o777), unix.EACCES)
	w.write("/open/roots", "x")
	w.want(u.Unlink(cwd, "/open/roots"), unix.EPERM)
	u.write("/open/mine", "y")
	w.must(u.Unlink(cwd, "/open/mine"))

	w.write("/grp", "g")
	p := w.path("/grp")
	w.must(w.Setattr(p, &vfs.SetAttr{Mask: vfs.AttrMode | vfs.AttrGID, Mode: 0o640, GID: 50}))
	if got := u.read("/grp"); got != "g" {
		t.Errorf("by group: %q", got)
	}
	w.want(w.as(1001).exists("/grp"), nil)
	if got := w.as(1001).read("/grp"); !strings.Contains(got, "permission") {
		t.Errorf("others: %q", got)
	}
	w.want(u.Setattr(p, &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0o777}), unix.EPERM)
	w.want(u.Setattr(p, &vfs.SetAttr{Mask: vfs.AttrUID, UID: 1000}), unix.EPERM)
	p.DecRef()
}

func TestRename(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/a", 0o777))
	w.must(w.Mkdir(cwd, "/a/b", 0o777))
	w.must(w.Mkdir(cwd, "/c", 0o777))
	w.write("/a/f", "f")
	w.write("/c/g", "g")
	w.want(w.Rename(cwd, "/a", cwd, "/a/b/x", 0), unix.EINVAL)
	w.want(w.Rename(cwd, "/a/b", cwd, "/a", 0), unix.ENOTEMPTY)
	w.want(w.Rename(cwd, "/a/f", cwd, "/c/g", unix.RENAME_NOREPLACE), unix.EEXIST)
	w.want(w.Rename(cwd, "/a/f", cwd, "/c", 0), unix.EISDIR)
	w.want(w.Rename(cwd, "/c", cwd, "/a/f", 0), unix.ENOTDIR)
	w.must(w.Rename(cwd, "/a/f", cwd, "/c/g", 0))
	if got := w.read("/c/g"); got != "f" {
		t.Errorf("replaced: %q", got)
	}
	w.want(w.exists("/a/f"), unix.ENOENT)
	w.must(w.Rename(cwd, "/c", cwd, "/a/b", unix.RENAME_EXCHANGE))
	if got := w.read("/a/b/g"); got != "f" {
		t.Errorf("exchanged: %q", got)
	}
	f, err := w.Open(cwd, "/a/b/g", unix.O_RDONLY, 0)
	w.must(err)
	w.must(w.Rename(cwd, "/a", cwd, "/z", 0))
	root := w.FS.Root()
	if name, _ := vfs.PathName(f.Path(), root); name != "/z/b/g" {
		t.Errorf("name after rename: %s", name)
	}
	w.must(w.Unlink(cwd, "/z/b/g"))
	if name, _ := vfs.PathName(f.Path(), root); name != "/z/b/g (deleted)" {
		t.Errorf("name after unlink: %s", name)
	}
	root.DecRef()
	f.DecRef()
	w.must(w.Rmdir(cwd, "/z/b"))
	w.must(w.Rmdir(cwd, "/z"))
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	w.write("/f", "x")
	p := w.path("/f")
	w.must(w.Link(p, cwd, "/g"))
	w.want(w.Link(p, cwd, "/g"), unix.EEXIST)
	p.DecRef()
	p = w.path("/g")
	var st unix.Statx_t
	w.must(w.Stat(p, unix.STATX_BASIC_STATS, 0, &st))
	if st.Nlink != 2 {
		t.Errorf("nlink %d", st.Nlink)
	}
	p.DecRef()
	w.must(w.Unlink(cwd, "/f"))
	if got := w.read("/g"); got != "x" {
		t.Errorf("other name: %q", got)
	}

	tmp, err := w.Open(cwd, "/", unix.O_TMPFILE|unix.O_RDWR, 0o600)
	w.must(err)
	s := usermem.Kernel([]byte("tmp"))
	_, err = tmp.Write(w.Context, &s, 0)
	w.must(err)
	w.must(w.Link(tmp.Path(), cwd, "/named"))
	tmp.DecRef()
	if got := w.read("/named"); got != "tmp" {
		t.Errorf("O_TMPFILE: %q", got)
	}
}

// TestEviction checks that pages go when the last name and the last user are gone.
func TestEviction(t *testing.T) {
	w := newWorld(t)
	used := func() uint64 {
		var st unix.Statfs_t
		p := w.path("/m")
		defer p.DecRef()
		w.must(w.Statfs(p, &st))
		return st.Blocks - st.Bfree
	}
	w.must(w.Mkdir(cwd, "/m", 0o777))
	m := w.path("/m")
	w.must(w.NewMount("none", m, "tmpfs", 0, "size=1m"))
	m.DecRef()
	w.write("/m/f", strings.Repeat("x", 100000))
	if used() != 25 {
		t.Errorf("used %d pages", used())
	}
	f, err := w.Open(cwd, "/m/f", unix.O_RDONLY, 0)
	w.must(err)
	w.must(w.Unlink(cwd, "/m/f"))
	if used() != 25 {
		t.Errorf("open, unlinked: used %d pages", used())
	}
	f.DecRef()
	if used() != 0 {
		t.Errorf("closed: used %d pages", used())
	}
	f, err = w.Open(cwd, "/m/big", unix.O_RDWR|unix.O_CREAT, 0o600)
	w.must(err)
	s := usermem.Kernel(make([]byte, 2<<20))
	n, err := f.Write(w.Context, &s, 0)
	if n != 1<<20 || err != nil {
		t.Errorf("write to a full file system: %d, %v", n, err)
	}
	_, err = f.Write(w.Context, &s, 0)
	w.want(err, unix.ENOSPC)
	w.must(f.Truncate(w.Context, 5))
	f.DecRef()
	if used() != 1 {
		t.Errorf("truncated: used %d pages", used())
	}
	busy, err := w.Open(cwd, "/m/big", unix.O_RDONLY, 0)
	w.must(err)
	w.want(w.Unmount(w.path("/m"), 0), unix.EBUSY)
	busy.DecRef()
	w.must(w.Unmount(w.path("/m"), 0))
	w.want(w.exists("/m/big"), unix.ENOENT)
}

func TestMounts(t *testing.T) {
	w := newWorld(t)
	for _, d := range []string{"/a", "/b", "/a/sub", "/new", "/new/old"} {
		w.must(w.Mkdir(cwd, d, 0o755))
	}
	w.write("/a/f", "below")
	a, b := w.path("/a"), w.path("/b")
	w.must(w.Bind(a, b, false))
	if got := w.read("/b/f"); got != "below" {
		t.Errorf("bind: %q", got)
	}
	top := w.path("/b")
	w.must(w.Remount(top, unix.MS_RDONLY, "", true))
	top.DecRef()
	_, err := w.Open(cwd, "/b/f", unix.O_WRONLY, 0)
	w.want(err, unix.EROFS)
	w.want(w.Mkdir(cwd, "/b/x", 0o755), unix.EROFS)
	w.want(w.Mkdir(cwd, "/b/sub", 0o755), unix.EEXIST)
	w.write("/a/f", "changed")
	w.want(w.Rmdir(cwd, "/b"), unix.EBUSY)
	w.want(w.exists("/b/../a"), nil)
	w.must(w.Unmount(w.path("/b"), 0))
	w.want(w.exists("/b/f"), unix.ENOENT)

	// Shared: what is mounted below one peer appears below the other.
	w.must(w.Bind(a, a, false))
	top = w.path("/a")
	w.must(w.SetPropagation(top, unix.MS_SHARED, false))
	w.must(w.Bind(top, b, false))
	slave := w.path("/new")
	w.must(w.Bind(top, slave, false))
	slave.DecRef()
	slave = w.path("/new")
	w.must(w.SetPropagation(slave, unix.MS_SLAVE, false))
	sub := w.path("/a/sub")
	w.must(w.NewMount("t", sub, "tmpfs", 0, ""))
	sub.DecRef()
	w.write("/b/sub/here", "1")
	if w.read("/a/sub/here") != "1" || w.read("/new/sub/here") != "1" {
		t.Error("mount did not propagate")
	}
	w.must(w.Unmount(w.path("/new/sub"), 0))
	if w.read("/a/sub/here") != "1" {
		t.Error("unmount propagated from a slave")
	}
	w.must(w.Unmount(w.path("/b/sub"), 0))
	w.want(w.exists("/a/sub/here"), unix.ENOENT)
	for _, p := range []vfs.Path{a, b, top, slave} {
		p.DecRef()
	}
}

func TestPivotRoot(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/new", 0o755))
	p := w.path("/new")
	w.must(w.NewMount("t", p, "tmpfs", 0, ""))
	p.DecRef()
	w.must(w.Mkdir(cwd, "/new/old", 0o755))
	w.write("/marker", "old")
	w.write("/new/marker", "new")
	n, o := w.path("/new"), w.path("/new/old")
	other := w.as(5)
	w.must(w.PivotRoot(n, o))
	n.DecRef()
	o.DecRef()
	if w.read("/marker") != "new" || w.read("/old/marker") != "old" || other.exists("/old/marker") != nil {
		t.Error("roots were not exchanged")
	}
	w.must(w.Unmount(w.path("/old"), unix.MNT_DETACH))
	w.want(w.exists("/old/marker"), unix.ENOENT)
}

func TestNamespaceClone(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/m", 0o755))
	fs := w.FS.Fork()
	ns := w.MountNS.Clone(w.v.UserNS, fs)
	c := &world{TB: t, v: w.v, Context: &vfs.Context{Cred: w.Cred, FS: fs, MountNS: ns, FileSizeLimit: unix.RLIM_INFINITY}}
	p := c.path("/m")
	c.must(c.NewMount("t", p, "tmpfs", 0, ""))
	p.DecRef()
	c.write("/m/f", "x")
	w.want(w.exists("/m/f"), unix.ENOENT)
	c.want(c.exists("/m/f"), nil)
	root := c.FS.Root()
	if l := ns.Mounts(root); len(l) != 2 || l[1].Point != "/m" || l[1].ParentID != l[0].ID {
		t.Errorf("mountinfo: %+v", l)
	}
	root.DecRef()
	fs.DecRef()
	ns.DecRef()
}

// TestConcurrentWalks renames and removes while others walk.
func TestConcurrentWalks(t *testing.T) {
	w := newWorld(t)
	w.must(w.Mkdir(cwd, "/d", 0o777))
	for i := range 50 {
		w.write(fmt.Sprintf("/d/stay%d", i), "x")
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		c := w.as(0)
		c.Cred = w.Cred
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := c.exists(fmt.Sprintf("/d/stay%d", i%50)); err != nil {
					t.Errorf("stay%d: %v", i%50, err)
					return
				}
				if err := c.exists("/d/go/f"); err != nil && err != unix.ENOENT {
					t.Errorf("go: %v", err)
				}
			}
		})
	}
	for i := range 300 {
		w.must(w.Mkdir(cwd, "/d/go", 0o777))
		w.write("/d/go/f", "x")
		w.must(w.Rename(cwd, "/d/go", cwd, fmt.Sprintf("/d/gone%d", i), 0))
		w.must(w.Unlink(cwd, fmt.Sprintf("/d/gone%d/f", i)))
		w.must(w.Rmdir(cwd, fmt.Sprintf("/d/gone%d", i)))
	}
	close(stop)
	wg.Wait()
}

func BenchmarkWalk(b *testing.B) {
	w := newWorld(b)
	for _, d := range []string{"/usr", "/usr/lib", "/usr/lib/x"} {
		w.must(w.Mkdir(cwd, d, 0o755))
	}
	w.write("/usr/lib/x/libc.so.6", "")
	b.ReportAllocs()
	for b.Loop() {
		p, err := w.Walk(cwd, "/usr/lib/x/libc.so.6", vfs.WalkFollow)
		if err != nil {
			b.Fatal(err)
		}
		p.DecRef()
	}
}

func BenchmarkOpenClose(b *testing.B) {
	w := newWorld(b)
	w.write("/f", "")
	t := vfs.NewFDTable()
	b.ReportAllocs()
	for b.Loop() {
		f, err := w.Open(cwd, "/f", unix.O_RDONLY, 0)
		if err != nil {
			b.Fatal(err)
		}
		fd, _ := t.Add(f, 0, false, 1024)
		t.Close(w.Context, nil, fd)
	}
}

func BenchmarkPread4K(b *testing.B) {
	w := newWorld(b)
	w.write("/f", strings.Repeat("x", 65536))
	f, err := w.Open(cwd, "/f", unix.O_RDONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer f.DecRef()
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		w.Seq = usermem.Kernel(buf)
		if n, err := f.Pread(w.Context, &w.Seq, 8192, 0); n != 4096 {
			b.Fatal(n, err)
		}
	}
}
