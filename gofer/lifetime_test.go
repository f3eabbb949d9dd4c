package gofer

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// countFDs returns how many descriptors this process has.
func countFDs(t testing.TB) int {
	t.Helper()
	ents, err := os.ReadDir("/proc/self/fd")
	check(t, err)
	return len(ents)
}

// settledFDs counts the descriptors when clients of other tests have given theirs back.
func settledFDs(t testing.TB) int {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for range 20000 {
		if !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("gofer.(*Client).watch(")) {
			return countFDs(t)
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("another test's client is still there")
	return 0
}

// wantFDs fails if there are other than n descriptors. The client gives its
// own back after Done, so it looks until they are gone.
func wantFDs(t testing.TB, n int) {
	t.Helper()
	got := 0
	for range 100000 {
		if got = countFDs(t); got == n {
			return
		}
	}
	ents, _ := os.ReadDir("/proc/self/fd")
	for _, e := range ents {
		link, _ := os.Readlink("/proc/self/fd/" + e.Name())
		t.Log(e.Name(), link)
	}
	t.Fatalf("%d descriptors, there were %d", got, n)
}

func TestDescriptorLeaks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "x")
	check(t, unix.Mkfifo(dir+"/fifo", 0o600))
	tr := tree(t, dir)
	before := settledFDs(t)

	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	s, err := newServer(p[0], []Tree{tr})
	check(t, err)
	s.nodes.max = 8
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := Dial(p[1])
	check(t, err)
	r, err := c.Attach(0)
	check(t, err)
	running := countFDs(t)
	var held []int
	for i := range 300 {
		out := make([]Entry, 2)
		for _, names := range [][]string{{"f", "x"}, {"fifo"}, {"missing"}} {
			n, _, _, err := c.Walk(r.Node, names, true, out)
			check(t, err)
			for _, e := range out[:n] {
				c.Release(e.Node)
			}
		}
		if o, err := c.Open(Target{r.Node, "f"}, unix.O_RDONLY); err == nil {
			unix.Close(o.FD)
			c.Release(o.Node)
		} else {
			t.Fatal(err)
		}
		c.Open(Target{r.Node, "fifo"}, unix.O_RDONLY)
		c.Create(r.Node, "fifo", unix.O_RDONLY, 0o600, 0, 0)
		if o, err := c.Create(r.Node, fmt.Sprint("new", i), unix.O_RDWR, 0o600, 0, 0); err == nil {
			unix.Close(o.FD)
			c.Release(o.Node)
		} else {
			t.Fatal(err)
		}
		if m, err := c.Mkdir(r.Node, fmt.Sprint("dir", i), 0o700, 0, 0); err == nil {
			c.Readdir(m.Node, 0, 4096, nil)
			c.Release(m.Node)
		} else {
			t.Fatal(err)
		}
		c.Readdir(r.Node, 0, 1<<20, nil)
		c.Fsync(r.Node, true)
	}
	c.Flush()
	wantFDs(t, running)

	// At the limit calls fail, and leave nothing behind.
	var nodes []Node
	for {
		o, err := c.Open(Target{r.Node, "f"}, unix.O_RDONLY)
		if err != nil {
			wantErrno(t, err, unix.EMFILE)
			break
		}
		held = append(held, o.FD)
		nodes = append(nodes, o.Node)
	}
	if len(nodes) != 7 {
		t.Errorf("%d handles beside the root, the limit is 8", len(nodes))
	}
	_, err = c.Create(r.Node, "beyond", unix.O_RDWR, 0o600, 0, 0)
	wantErrno(t, err, unix.EMFILE)
	_, err = c.Mkdir(r.Node, "beyond", 0o700, 0, 0)
	wantErrno(t, err, unix.EMFILE)
	_, err = c.Attach(0)
	wantErrno(t, err, unix.EMFILE)
	out := make([]Entry, 1)
	_, _, _, err = c.Walk(r.Node, []string{"f"}, true, out)
	wantErrno(t, err, unix.EMFILE)
	if _, err := os.Lstat(dir + "/beyond"); err == nil {
		t.Error("a file was left behind")
	}
	for _, fd := range held {
		unix.Close(fd)
	}
	for _, n := range nodes {
		c.Release(n)
	}
	c.Flush()
	wantFDs(t, running)
	c.Readdir(r.Node, 0, 4096, nil) // leaves a stream open
	c.Close()
	check(t, <-served)
	wantFDs(t, before)
}

// TestConcurrency has many more callers than slots.
func TestConcurrency(t *testing.T) {
	c, dir, root := dirPair(t)
	var wg sync.WaitGroup
	for g := range 3 * numSlots {
		wg.Go(func() {
			name := fmt.Sprint("dir", g)
			m, err := c.Mkdir(root, name, 0o755, 0, 0)
			if err != nil {
				t.Error(err)
				return
			}
			for i := range 30 {
				file := fmt.Sprint("file", i)
				o, err := c.Create(m.Node, file, unix.O_RDWR|unix.O_EXCL, 0o600, 0, 0)
				if err != nil {
					t.Error(err)
					return
				}
				unix.Pwrite(o.FD, []byte(name+file), 0)
				unix.Close(o.FD)
				c.Release(o.Node)
				o2, err := c.Open(Target{m.Node, file}, unix.O_RDONLY)
				if err != nil {
					t.Error(err)
					return
				}
				b := make([]byte, 100)
				n, _ := unix.Pread(o2.FD, b, 0)
				if string(b[:n]) != name+file {
					t.Errorf("%s/%s holds %q", name, file, b[:n])
				}
				if a, err := c.Getattr(o2.Node.At()); err != nil || a.Ino != o.Attr.Ino || a.Size != uint64(n) {
					t.Errorf("%s/%s: %+v, %v", name, file, a, err)
				}
				unix.Close(o2.FD)
				c.Release(o2.Node)
			}
			ents, _, _, err := c.Readdir(m.Node, 0, 1<<20, nil)
			if err != nil || len(ents) != 30 {
				t.Errorf("%s: %d entries, %v", name, len(ents), err)
			}
			c.Release(m.Node)
		})
	}
	wg.Wait()
	if ents, _ := os.ReadDir(dir); len(ents) != 3*numSlots {
		t.Errorf("%d directories", len(ents))
	}
}

func TestServerKilled(t *testing.T) {
	c, _, root, server := processPair(t)
	var wg sync.WaitGroup
	started := make(chan struct{}, 100)
	for range 20 {
		wg.Go(func() {
			for {
				if _, err := c.Getattr(root.At()); err != nil {
					if err != unix.EIO {
						t.Errorf("a call in flight: %v", err)
					}
					return
				}
				select {
				case started <- struct{}{}:
				default:
				}
			}
		})
	}
	for range cap(started) {
		<-started
	}
	check(t, server.Kill())
	wg.Wait()
	<-c.Done()
	_, err := c.Attach(0)
	wantErrno(t, err, unix.EIO)
	c.Release(root)
	c.Flush()
	c.Close()
}

// TestUnprivileged has a server without CAP_CHOWN: what the host refuses is
// refused, and leaves nothing behind.
func TestUnprivileged(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to have a server that is not")
	}
	const nobody = 65534
	c, dir, root, _ := processPairAs(t, &syscall.Credential{Uid: nobody, Gid: nobody})
	_, err := c.Create(root, "f", unix.O_RDWR, 0o600, nobody, nobody)
	wantErrno(t, err, unix.EACCES)
	check(t, os.Chown(dir, nobody, nobody))
	o, err := c.Create(root, "f", unix.O_RDWR, 0o600, nobody, nobody)
	check(t, err)
	unix.Close(o.FD)
	_, err = c.Create(root, "g", unix.O_RDWR, 0o600, 0, 0)
	wantErrno(t, err, unix.EPERM)
	_, err = c.Mkdir(root, "g", 0o700, 0, nobody)
	wantErrno(t, err, unix.EPERM)
	_, err = c.Symlink(root, "g", "f", nobody, 0)
	wantErrno(t, err, unix.EPERM)
	_, err = c.Mknod(root, "g", unix.S_IFIFO|0o600, 0, 0, 0, 0)
	wantErrno(t, err, unix.EPERM)
	_, err = c.Mknod(root, "g", unix.S_IFCHR|0o600, 1, 3, nobody, nobody)
	wantErrno(t, err, unix.EPERM)
	_, err = c.Setattr(Target{root, "f"}, &SetAttr{Valid: SetUID, UID: 0})
	wantErrno(t, err, unix.EPERM)
	check(t, os.Chown(dir+"/f", 0, 0))
	_, err = c.Open(o.Node.At(), unix.O_RDONLY)
	wantErrno(t, err, unix.EACCES)
	if ents, _ := os.ReadDir(dir); len(ents) != 1 {
		t.Errorf("left behind: %v", ents)
	}
}

func TestNoAllocation(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.Mkdir(dir+"/d", 0o755))
	write(t, dir+"/d/f", "")
	out := make([]Entry, 2)
	names := []string{"d", "f"}
	d := make([]Entry, 1)
	_, _, _, err := c.Walk(root, names[:1], false, d)
	check(t, err)
	targets := []Target{root.At(), {root, "d"}}
	attrs := make([]AttrResult, 2)
	for what, f := range map[string]func(){
		"getattr":       func() { c.Getattr(Target{d[0].Node, "f"}) },
		"getattr batch": func() { c.GetattrBatch(targets, attrs) },
		"walk":          func() { c.Walk(d[0].Node, names[1:], false, out) },
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations, of client and server", what, n)
		}
	}
}
