package goferfs_test

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"casemate/gofer"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/goferfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// world is a VFS whose root is a host directory that a gofer in this process serves.
type world struct {
	testing.TB
	*vfs.Context
	dir    string // on the host
	client *gofer.Client
	fs     *goferfs.FS
}

var cwd vfs.Start

func newWorld(t testing.TB, shared bool) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir()}
	fd, err := unix.Open(w.dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	w.must(err)
	t.Cleanup(func() { unix.Close(fd) })
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	w.must(err)
	procs, err := gofer.OpenProcs("/proc")
	if err != nil {
		t.Fatal(err)
	}
	s, err := gofer.NewServer(p[0], procs, []gofer.Tree{{FD: fd, Shared: shared}})
	w.must(err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	client, err := gofer.Dial(p[1])
	w.must(err)
	w.client = client
	t.Cleanup(func() {
		client.Close()
		<-served
	})
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	w.fs, err = goferfs.New(v, client, 0, goferfs.Options{Type: "gofer", Source: "root", Shared: shared, MaxOpen: 64})
	w.must(err)
	w.Context = vfs.NewContext(cred.NewRoot(ns), v.NewNamespace(ns, &w.fs.Superblock, 0))
	return w
}

// other is another task's context.
func (w *world) other() *world {
	c := *w
	c.Context = &vfs.Context{Cred: w.Cred, FS: w.FS.Fork(), MountNS: w.MountNS, FileSizeLimit: unix.RLIM_INFINITY}
	return &c
}

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

func (w *world) host(name string) string { return filepath.Join(w.dir, name) }

func (w *world) open(name string, flags uint32) *vfs.File {
	w.Helper()
	f, err := w.Open(cwd, name, flags, 0o644)
	w.must(err)
	return f
}

func (w *world) pwrite(f *vfs.File, data string, off int64) {
	w.Helper()
	s := usermem.Kernel([]byte(data))
	if n, err := f.Pwrite(w.Context, &s, off, 0); n != len(data) || err != nil {
		w.Fatalf("write: %d, %v", n, err)
	}
}

func (w *world) pread(f *vfs.File) string {
	w.Helper()
	b := make([]byte, 4096)
	s := usermem.Kernel(b)
	n, err := f.Pread(w.Context, &s, 0, 0)
	w.must(err)
	return string(b[:n])
}

func (w *world) write(name, data string) {
	w.Helper()
	f := w.open(name, unix.O_WRONLY|unix.O_CREAT|unix.O_TRUNC)
	w.pwrite(f, data, 0)
	f.DecRef()
}

func (w *world) read(name string) string {
	w.Helper()
	f := w.open(name, unix.O_RDONLY)
	defer f.DecRef()
	return w.pread(f)
}

func (w *world) stat(name string) (st unix.Statx_t) {
	w.Helper()
	p, err := w.Walk(cwd, name, 0)
	w.must(err)
	w.must(w.Context.Stat(p, unix.STATX_BASIC_STATS, 0, &st))
	p.DecRef()
	return st
}

func (w *world) fstat(f *vfs.File) (st unix.Statx_t) {
	w.Helper()
	w.must(w.Context.Stat(f.Path(), unix.STATX_BASIC_STATS, 0, &st))
	return st
}

// names returns what getdents64(2) gives, sorted.
func (w *world) names(dir string) []string {
	w.Helper()
	all := w.list(dir)
	slices.Sort(all)
	return all
}

// list returns what getdents64(2) gives, in its order.
func (w *world) list(dir string) (all []string) {
	w.Helper()
	f := w.open("/"+dir, unix.O_RDONLY|unix.O_DIRECTORY)
	defer f.DecRef()
	e := vfs.DirEmitter{Func: func(name string, _ uint64, _ uint8, _ int64) bool {
		if name != "." && name != ".." {
			all = append(all, name)
		}
		return true
	}}
	w.must(f.ReadDir(w.Context, &e))
	return all
}

// same fails unless the host has the same names with the same attributes.
func (w *world) same(dir string) {
	w.Helper()
	ents, err := os.ReadDir(w.host(dir))
	w.must(err)
	var want []string
	for _, e := range ents {
		want = append(want, e.Name())
	}
	if got := w.names(dir); !slices.Equal(got, want) {
		w.Fatalf("names of %s: %q, on the host %q", dir, got, want)
	}
	for _, name := range want {
		name = filepath.Join(dir, name)
		var st unix.Statx_t
		w.must(unix.Statx(unix.AT_FDCWD, w.host(name), unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st))
		got := w.stat(name)
		if got.Ino != st.Ino || got.Mode != st.Mode || got.Nlink != st.Nlink || got.Size != st.Size || got.Uid != st.Uid ||
			got.Blocks != st.Blocks || got.Mtime != st.Mtime || got.Ctime != st.Ctime {
			w.Errorf("%s: %+v, on the host %+v", name, got, st)
		}
		if st.Mode&unix.S_IFMT == unix.S_IFDIR {
			w.same(name)
		}
	}
}

// TestModel does random operations in the tree and in a directory of the host, whose
// answers must be the same, and the trees then.
func TestModel(t *testing.T) {
	for _, shared := range []bool{false, true} {
		t.Run(fmt.Sprintf("shared=%v", shared), func(t *testing.T) {
			w := newWorld(t, shared)
			model := t.TempDir()
			old := unix.Umask(0o22)
			defer unix.Umask(old)
			rnd := rand.New(rand.NewSource(7))
			dirs := []string{"", "a", "b", "a/c"}
			name := func() string { return filepath.Join(dirs[rnd.Intn(len(dirs))], string(rune('k'+rnd.Intn(5)))) }
			for _, d := range dirs[1:] {
				w.must(w.Mkdir(cwd, d, 0o755))
				w.must(os.Mkdir(filepath.Join(model, d), 0o755))
			}
			for i := range 4000 {
				n, m := name(), name()
				hn, hm := filepath.Join(model, n), filepath.Join(model, m)
				var got, want error
				op := rnd.Intn(10)
				switch op {
				case 0:
					var f *vfs.File
					if f, got = w.Open(cwd, n, unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o644); got == nil {
						w.pwrite(f, "abc", int64(i))
						f.DecRef()
					}
					var fd int
					if fd, want = unix.Open(hn, unix.O_CREAT|unix.O_WRONLY|unix.O_EXCL, 0o644); want == nil {
						unix.Pwrite(fd, []byte("abc"), int64(i))
						unix.Close(fd)
					}
				case 1:
					got, want = w.Mkdir(cwd, n, 0o700), unix.Mkdir(hn, 0o700)
				case 2:
					got, want = w.Unlink(cwd, n), unix.Unlink(hn)
				case 3:
					got, want = w.Rmdir(cwd, n), unix.Rmdir(hn)
				case 4, 5:
					got, want = w.Rename(cwd, n, cwd, m, 0), unix.Rename(hn, hm)
				case 6:
					got = w.Rename(cwd, n, cwd, m, unix.RENAME_EXCHANGE)
					want = unix.Renameat2(unix.AT_FDCWD, hn, unix.AT_FDCWD, hm, unix.RENAME_EXCHANGE)
				case 7:
					p, err := w.Walk(cwd, n, 0)
					if got = err; err == nil {
						got = w.Link(p, cwd, m)
						p.DecRef()
					}
					want = unix.Link(hn, hm)
				case 8:
					got, want = w.Symlink("to", cwd, n), unix.Symlink("to", hn)
				case 9:
					p, err := w.Walk(cwd, n, 0)
					if got = err; err == nil && p.Inode().IsRegular() {
						got = w.Truncate(p, int64(i))
					}
					if err == nil {
						p.DecRef()
					}
					var st unix.Stat_t
					if want = unix.Lstat(hn, &st); want == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
						want = unix.Truncate(hn, int64(i))
					}
				}
				if got != want {
					t.Fatalf("step %d, operation %d of %s and %s: %v, on the host %v", i, op, n, m, got, want)
				}
				if i%100 == 0 {
					w.same("")
				}
			}
			w.same("")
		})
	}
}

func TestHardLinkInListing(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.WriteFile(w.host("a"), nil, 0o644))
	w.must(os.Link(w.host("a"), w.host("b")))
	w.names("/") // fetches both
	w.write("a", "longer")
	if st := w.stat("b"); st.Size != 6 || st.Nlink != 2 {
		t.Errorf("size %d, nlink %d", st.Size, st.Nlink)
	}
	if a, b := w.stat("a"), w.stat("b"); a.Ino != b.Ino {
		t.Errorf("two inodes")
	}
	w.must(w.Unlink(cwd, "a"))
	if got := w.read("b"); got != "longer" {
		t.Errorf("read %q", got)
	}
}

func TestUnlinkedStaysOpen(t *testing.T) {
	for _, shared := range []bool{false, true} {
		w := newWorld(t, shared)
		w.write("f", "old")
		f := w.open("f", unix.O_RDWR)
		w.must(w.Unlink(cwd, "f"))
		w.write("f", "new file") // may get the same inode number
		if got := w.pread(f); got != "old" {
			t.Errorf("read %q", got)
		}
		w.pwrite(f, "OLD!", 0)
		if st := w.fstat(f); st.Nlink != 0 || st.Size != 4 {
			t.Errorf("nlink %d, size %d", st.Nlink, st.Size)
		}
		w.must(w.Setattr(f.Path(), &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0o600}))
		f.DecRef()
		if got, st := w.read("f"), w.stat("f"); got != "new file" || st.Mode&0o777 != 0o644 {
			t.Errorf("the new file: %q, mode %o", got, st.Mode)
		}
	}
}

// TestPathDescriptorOfRemoved keeps a removed file by O_PATH only, while the host gives its
// inode number to others.
func TestPathDescriptorOfRemoved(t *testing.T) {
	w := newWorld(t, false)
	w.write("f", "gone")
	p, err := w.Walk(cwd, "f", 0)
	w.must(err)
	defer p.DecRef()
	w.must(w.Unlink(cwd, "f"))
	for i := range 20 {
		name := fmt.Sprint("n", i)
		w.write(name, name)
		if st := w.stat(name); st.Size != uint64(len(name)) || st.Nlink != 1 {
			t.Fatalf("%s: size %d, nlink %d", name, st.Size, st.Nlink)
		}
	}
	w.must(w.Rename(cwd, "n0", cwd, "f", 0))
	if err := w.Setattr(p, &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0}); err != nil && err != unix.ESTALE {
		t.Error(err)
	}
	if st := w.stat("f"); st.Mode&0o777 != 0o644 {
		t.Errorf("the new f has got mode %o", st.Mode)
	}
}

func TestTmpfile(t *testing.T) {
	w := newWorld(t, false)
	w.must(w.Mkdir(cwd, "d", 0o755))
	f, err := w.Open(cwd, "d", unix.O_TMPFILE|unix.O_RDWR, 0o640)
	if err == unix.EOPNOTSUPP {
		t.Skip("the host's file system has none")
	}
	w.must(err)
	w.pwrite(f, "content", 0)
	if st := w.fstat(f); st.Nlink != 0 || st.Mode&0o7777 != 0o640&^0o22 || len(w.names("d")) != 0 {
		t.Errorf("nlink %d, mode %o", st.Nlink, st.Mode)
	}
	w.must(w.Link(f.Path(), cwd, "d/f"))
	f.DecRef()
	if st, got := w.stat("d/f"), w.read("d/f"); st.Nlink != 1 || got != "content" {
		t.Errorf("nlink %d, %q", st.Nlink, got)
	}
	w.same("")
}

// TestOrderOfNames reads a directory again and again: its names keep the order in which the
// host gave them, and new ones are the last.
func TestOrderOfNames(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.host("d"), 0o755))
	for i := range 100 {
		w.must(os.WriteFile(w.host(fmt.Sprint("d/", i)), nil, 0o644))
	}
	want := w.list("d")
	for i := range 10 {
		gone, made := want[i*9], fmt.Sprint("new", i)
		w.stat("d/" + want[i*8])
		w.must(w.Context.Unlink(cwd, "d/"+gone))
		w.open("d/"+made, unix.O_WRONLY|unix.O_CREAT).DecRef()
		want = append(slices.DeleteFunc(want, func(name string) bool { return name == gone }), made)
		if got := w.list("d"); !slices.Equal(got, want) {
			t.Fatalf("names %q, not %q", got, want)
		}
	}
}

func TestBigDirectory(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.host("d"), 0o755))
	for i := range 5000 {
		w.must(os.WriteFile(w.host(fmt.Sprint("d/", i)), nil, 0o644))
	}
	if n := len(w.names("d")); n != 5000 {
		t.Errorf("%d names", n)
	}
	for i := range 10 {
		w.stat(fmt.Sprint("d/", i*499))
		_, err := w.Walk(cwd, fmt.Sprint("d/none", i), 0)
		w.want(err, unix.ENOENT)
	}
	w.must(w.Unlink(cwd, "d/17"))
	w.write("d/new", "")
	w.same("d")
}

// TestHostChanges changes a shared tree outside, which shows inside at once.
func TestHostChanges(t *testing.T) {
	w := newWorld(t, true)
	put := func(name, data string) { w.must(os.WriteFile(w.host(name), []byte(data), 0o644)) }
	_, err := w.Walk(cwd, "f", 0)
	w.want(err, unix.ENOENT)
	put("f", "one")
	w.want(w.Mkdir(cwd, "f", 0o755), unix.EEXIST)
	if got := w.read("f"); got != "one" {
		t.Errorf("%q", got)
	}
	f := w.open("f", unix.O_RDWR|unix.O_APPEND)
	defer f.DecRef()
	put("tmp", "renamed over")
	w.must(os.Rename(w.host("tmp"), w.host("f")))
	if got := w.read("f"); got != "renamed over" {
		t.Errorf("%q", got)
	}
	if got, st := w.pread(f), w.fstat(f); got != "one" || st.Nlink != 0 {
		t.Errorf("%q, nlink %d", got, st.Nlink)
	}
	w.must(os.Truncate(w.host("f"), 2))
	if st := w.stat("f"); st.Size != 2 {
		t.Errorf("size %d", st.Size)
	}

	g := w.open("g", unix.O_CREAT|unix.O_RDWR|unix.O_APPEND)
	defer g.DecRef()
	h, err := os.OpenFile(w.host("g"), os.O_APPEND|os.O_WRONLY, 0)
	w.must(err)
	defer h.Close()
	for range 2 {
		w.pwrite(g, "in", 0)
		h.WriteString("out")
	}
	if got := w.pread(g); got != "inoutinout" {
		t.Errorf("%q", got)
	}

	w.must(os.Mkdir(w.host("d"), 0o755))
	put("d/x", "old")
	w.stat("d/x")
	w.must(os.Rename(w.host("d"), w.host("e")))
	w.must(os.Mkdir(w.host("d"), 0o755))
	_, err = w.Walk(cwd, "d/x", 0)
	w.want(err, unix.ENOENT)
	if got := w.read("e/x"); got != "old" {
		t.Errorf("%q", got)
	}
	w.must(os.Symlink("e", w.host("l")))
	w.read("l/x")
	w.must(os.Remove(w.host("l")))
	w.must(os.Symlink("d", w.host("l")))
	_, err = w.Walk(cwd, "l/x", vfs.WalkFollow)
	w.want(err, unix.ENOENT)

	p, err := w.Walk(cwd, "e", 0)
	w.must(err)
	defer p.DecRef()
	w.must(os.RemoveAll(w.host("e")))
	_, err = w.Open(vfs.Start{Path: p}, "x", unix.O_RDONLY, 0)
	w.want(err, unix.ENOENT)
	_, err = w.Open(vfs.Start{Path: p}, "y", unix.O_CREAT|unix.O_WRONLY, 0o644)
	w.want(err, unix.ENOENT)

	_, err = w.Walk(cwd, "late", 0)
	w.want(err, unix.ENOENT)
	put("late", "")
	w.must(w.Unlink(cwd, "late"))
	w.same("")
}

// TestConcurrent has tasks rename, change and remove the same names: nothing but the
// errors that such races have, and in the end what the host has.
func TestConcurrent(t *testing.T) {
	w := newWorld(t, false)
	for _, d := range []string{"a", "b"} {
		w.must(w.Mkdir(cwd, d, 0o755))
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			w := w.other()
			rnd := rand.New(rand.NewSource(int64(g)))
			name := func() string { return string(rune('a'+rnd.Intn(2))) + "/" + string(rune('k'+rnd.Intn(4))) }
			for range 1500 {
				n, m := name(), name()
				var err error
				switch rnd.Intn(7) {
				case 0:
					err = w.Rename(cwd, n, cwd, m, 0)
				case 1:
					err = w.Rename(cwd, n, cwd, m, unix.RENAME_EXCHANGE)
				case 2:
					err = w.Unlink(cwd, n)
				case 3:
					var p vfs.Path
					if p, err = w.Walk(cwd, n, 0); err == nil {
						err = w.Link(p, cwd, m)
						p.DecRef()
					}
				default:
					var f *vfs.File
					if f, err = w.Open(cwd, n, unix.O_CREAT|unix.O_RDWR, 0o644); err == nil {
						s := usermem.Kernel([]byte("x"))
						if _, e := f.Pwrite(w.Context, &s, 0, 0); e != nil {
							t.Error(e)
						}
						if e := w.Setattr(f.Path(), &vfs.SetAttr{Mask: vfs.AttrMode, Mode: 0o640}); e != nil {
							t.Error(e)
						}
						f.DecRef()
					}
				}
				if err != nil && err != unix.ENOENT && err != unix.EEXIST {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.same("")
}

func TestTruncateMapped(t *testing.T) {
	w := newWorld(t, false)
	w.write("f", "x")
	f := w.open("f", unix.O_RDWR)
	defer f.DecRef()
	w.must(f.Truncate(w.Context, 3*4096))
	m, err := f.Ops().Mmap(w.Context, f, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.must(err)
	if b, err := m.Translate(4096, 1<<20, true); err != nil || b.Length != 2*4096 {
		t.Errorf("%d bytes, %v", b.Length, err)
	}
	w.must(f.Truncate(w.Context, 1))
	_, err = m.Translate(4096, 4096, false)
	w.want(err, unix.EIO)
	if b, err := m.Translate(0, 1<<20, false); err != nil || b.Length != 4096 {
		t.Errorf("%d bytes, %v", b.Length, err)
	}
}
