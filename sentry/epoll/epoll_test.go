package epoll

import (
	"testing"

	"golang.org/x/sys/unix"

	"casemate/sentry/eventfd"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/pipe"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// A bench has what the tests need to make files.
type bench struct {
	t     *testing.T
	cred  *cred.Credentials
	pipes *pipe.FS
	ctx   *vfs.Context
}

func newBench(t *testing.T) *bench {
	user := cred.NewRootUserNamespace()
	c := cred.NewRoot(user)
	return &bench{t: t, cred: c, pipes: pipe.NewFS(vfs.New(user)), ctx: &vfs.Context{Cred: c}}
}

// file wraps ops in an open file, as a pipe's end lends its path.
func (b *bench) file(ops vfs.FileOps) *vfs.File {
	r, w := b.pipes.New(b.ctx, 0)
	defer w.DecRef()
	defer r.DecRef()
	p := r.Path()
	p.IncRef()
	f := vfs.NewFile(b.cred, p, unix.O_RDWR, ops)
	f.SetStream()
	return f
}

func (b *bench) event(count uint64) *vfs.File { return b.file(eventfd.New(count, false)) }

func (b *bench) set(f *vfs.File, n byte) {
	b.t.Helper()
	seq := usermem.Kernel([]byte{n, 0, 0, 0, 0, 0, 0, 0})
	if _, err := f.Write(b.ctx, &seq, 0); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) reset(f *vfs.File) {
	b.t.Helper()
	seq := usermem.Kernel(make([]byte, 8))
	if _, err := f.Read(b.ctx, &seq, 0); err != nil {
		b.t.Fatal(err)
	}
}

// collect returns the data of the items that have events.
func collect(e *File, n int) []uint64 {
	var list []uint64
	e.Collect(n, func(_ uint32, data uint64, _ int32, _ *vfs.File) { list = append(list, data) })
	return list
}

func expect(t *testing.T, what string, got []uint64, want ...uint64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

func TestTriggers(t *testing.T) {
	b := newBench(t)
	for _, c := range []struct {
		name   string
		events uint32
		second int // how often a second look finds the item
		again  int // and after another event
	}{
		{"level", unix.EPOLLIN, 1, 1},
		{"edge", unix.EPOLLIN | unix.EPOLLET&0xffffffff, 0, 1},
		{"one shot", unix.EPOLLIN | unix.EPOLLONESHOT, 0, 0},
	} {
		e, f := New(), b.event(0)
		if err := e.Add(f, 3, c.events, 9); err != nil {
			t.Fatal(err)
		}
		expect(t, c.name+", nothing", collect(e, 10))
		b.set(f, 1)
		expect(t, c.name+", event", collect(e, 10), 9)
		if got := len(collect(e, 10)); got != c.second {
			t.Errorf("%s: a second look finds %d", c.name, got)
		}
		b.set(f, 1)
		if got := len(collect(e, 10)); got != c.again {
			t.Errorf("%s: after another event %d", c.name, got)
		}
		b.reset(f)
		expect(t, c.name+", read", collect(e, 10))
		if err := e.Modify(f, 3, unix.EPOLLOUT, 10); err != nil {
			t.Fatal(err)
		}
		expect(t, c.name+", modified", collect(e, 10), 10)
		if err := e.Delete(f, 3); err != nil {
			t.Fatal(err)
		}
		expect(t, c.name+", deleted", collect(e, 10))
		f.DecRef()
	}
}

func TestFairness(t *testing.T) {
	b := newBench(t)
	e := New()
	for i := range int32(3) {
		if err := e.Add(b.event(1), i, unix.EPOLLIN, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, "first", collect(e, 2), 0, 1)
	expect(t, "second", collect(e, 2), 2, 0)
	expect(t, "third", collect(e, 2), 1, 2)
}

func TestErrors(t *testing.T) {
	b := newBench(t)
	e, f := New(), b.event(0)
	if err := e.Modify(f, 3, unix.EPOLLIN, 0); err != unix.ENOENT {
		t.Errorf("Modify: %v", err)
	}
	if err := e.Delete(f, 3); err != unix.ENOENT {
		t.Errorf("Delete: %v", err)
	}
	if err := e.Add(f, 3, unix.EPOLLIN, 0); err != nil {
		t.Fatal(err)
	}
	if err := e.Add(f, 3, unix.EPOLLIN, 0); err != unix.EEXIST {
		t.Errorf("Add twice: %v", err)
	}
	if err := e.Add(f, 4, unix.EPOLLIN, 0); err != nil {
		t.Errorf("Add with another descriptor: %v", err)
	}
}

func TestCloseRemoves(t *testing.T) {
	b := newBench(t)
	e, f := New(), b.event(1)
	if err := e.Add(f, 3, unix.EPOLLIN, 1); err != nil {
		t.Fatal(err)
	}
	f.DecRef()
	expect(t, "closed", collect(e, 10))
	if len(e.items) != 0 {
		t.Error("the item is still there")
	}
}

func TestNesting(t *testing.T) {
	b := newBench(t)
	inner, outer := New(), New()
	fi, fo, ev := b.file(inner), b.file(outer), b.event(0)
	if err := outer.Add(fi, 1, unix.EPOLLIN, 7); err != nil {
		t.Fatal(err)
	}
	if err := inner.Add(fo, 1, unix.EPOLLIN, 0); err != unix.ELOOP {
		t.Errorf("a circle: %v", err)
	}
	if err := inner.Add(fi, 1, unix.EPOLLIN, 0); err != unix.EINVAL {
		t.Errorf("itself: %v", err)
	}
	if err := inner.Add(ev, 2, unix.EPOLLIN, 8); err != nil {
		t.Fatal(err)
	}
	expect(t, "before", collect(outer, 10))
	b.set(ev, 1)
	expect(t, "outer", collect(outer, 10), 7)
	expect(t, "inner", collect(inner, 10), 8)
	b.reset(ev)
	expect(t, "after", collect(outer, 10))
	if outer.Readiness(wait.In) != 0 {
		t.Error("readable with nothing to collect")
	}
}

// chain makes n epoll files of which each watches the next, and returns the first and
// the last.
func (b *bench) chain(n int) (first, last *vfs.File) {
	last = b.file(New())
	first = last
	for range n - 1 {
		f := b.file(New())
		if err := watch(f, first); err != nil {
			b.t.Fatal(err)
		}
		first = f
	}
	return first, last
}

func watch(outer, inner *vfs.File) error {
	return outer.Ops().(*File).Add(inner, 1, unix.EPOLLIN, 0)
}

func TestDepth(t *testing.T) {
	b := newBench(t)
	for above := 1; above <= 5; above++ {
		for below := 1; below <= 5; below++ {
			_, e := b.chain(above)
			inner, _ := b.chain(below)
			var want error
			if above+below > 5 {
				want = unix.ELOOP
			}
			if err := watch(e, inner); err != want {
				t.Errorf("%d and %d files: %v, want %v", above, below, err, want)
			}
		}
	}
}

// TestPaths lets ever more epoll files watch the end of a chain whose other end
// watches an event.
func TestPaths(t *testing.T) {
	b := newBench(t)
	for files, limit := range []int{1: 500, 2: 100, 3: 50, 4: 10} {
		if files == 0 {
			continue
		}
		first, last := b.chain(files)
		if err := watch(last, b.event(0)); err != nil {
			t.Fatal(err)
		}
		for i := range limit {
			if err := watch(b.file(New()), first); err != nil {
				t.Fatalf("%d files, watcher %d: %v", files, i, err)
			}
		}
		more := b.file(New())
		if err := watch(more, first); err != unix.EINVAL {
			t.Errorf("%d files, one watcher too many: %v", files, err)
		}
		if n := len(more.Ops().(*File).items); n != 0 {
			t.Errorf("it watches %d files all the same", n)
		}
		// What is refused leaves no trace: another may take the place of one that goes.
		for it := range first.Ops().(*File).watchers.items {
			if err := it.epoll.Delete(first, 1); err != nil {
				t.Fatal(err)
			}
			break
		}
		if err := watch(more, first); err != nil {
			t.Errorf("%d files, one in the place of another: %v", files, err)
		}
	}
}

// TestPathsFromAbove has a file come last to where too many would hear of it.
func TestPathsFromAbove(t *testing.T) {
	b := newBench(t)
	e := b.file(New())
	for range 501 {
		if err := watch(b.file(New()), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := watch(e, b.event(0)); err != unix.EINVAL {
		t.Errorf("got %v", err)
	}
}

// TestWideGraph takes years if a walk comes to an epoll file by every way there is.
func TestWideGraph(t *testing.T) {
	b := newBench(t)
	const width = 120
	layers := [5][]*vfs.File{}
	for i := range layers {
		for range width {
			layers[i] = append(layers[i], b.file(New()))
		}
	}
	for i := range layers[1:] {
		for j, outer := range layers[i] {
			for k, inner := range layers[i+1] {
				if (j+k)%4 == 0 {
					if err := watch(outer, inner); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	if err := watch(layers[4][0], b.event(0)); err != unix.EINVAL {
		t.Errorf("an event below all: %v", err)
	}
}

func TestOneWaiterIsWoken(t *testing.T) {
	b := newBench(t)
	e, f := New(), b.event(0)
	if err := e.Add(f, 3, unix.EPOLLIN, 1); err != nil {
		t.Fatal(err)
	}
	woken := [2]int{}
	var ws [2]wait.Entry
	for i := range ws {
		ws[i].Notify = func(*wait.Entry, wait.Events) { woken[i]++ }
		e.AddWaiter(&ws[i])
	}
	b.set(f, 1)
	if woken != [2]int{1, 0} {
		t.Errorf("woken %v, want one", woken)
	}
	// The one that was woken goes without having collected.
	e.RemoveWaiter(&ws[0])
	if woken != [2]int{1, 1} {
		t.Errorf("woken %v, want the other too", woken)
	}
	e.RemoveWaiter(&ws[1])
}
