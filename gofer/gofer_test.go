package gofer

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inProcess says where pair runs its servers.
var inProcess = true

// pair runs a server of the given trees, in this process or in one of its own,
// and returns a client of it; both end with the test.
func pair(t testing.TB, trees ...Tree) *Client {
	t.Helper()
	if !inProcess {
		var files []*os.File
		var flags []string
		for _, tr := range trees {
			fd, e := fcntlDup(tr.FD)
			if e != 0 {
				t.Fatal(e)
			}
			f := os.NewFile(uintptr(fd), "tree")
			defer f.Close()
			files = append(files, f)
			v := 0
			for bit, on := range map[int]bool{treeReadOnly: tr.ReadOnly, treeShared: tr.Shared, treeConnect: tr.Connect} {
				if on {
					v |= bit
				}
			}
			flags = append(flags, strconv.Itoa(v))
		}
		c, err := Dial(startProcess(t, serverEnv, strings.Join(flags, " "), files))
		check(t, err)
		t.Cleanup(c.Close)
		return c
	}
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(p[0], trees)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	c, err := Dial(p[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return c
}

// newServer makes a server over this process's /proc.
func newServer(conn int, trees []Tree) (*Server, error) {
	procs, err := OpenProcs("/proc")
	if err != nil {
		return nil, err
	}
	return NewServer(conn, procs, trees)
}

// tree opens a directory as the root of a tree.
func tree(t testing.TB, dir string) Tree {
	t.Helper()
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return Tree{FD: fd}
}

// dirPair serves a new empty directory and returns its path and root.
func dirPair(t testing.TB) (*Client, string, Node) {
	t.Helper()
	dir := t.TempDir()
	c := pair(t, tree(t, dir))
	r, err := c.Attach(0)
	if err != nil {
		t.Fatal(err)
	}
	return c, dir, r.Node
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// wantErrno fails unless err is the errno.
func wantErrno(t testing.TB, err error, want unix.Errno) {
	t.Helper()
	if err != want {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func write(t testing.TB, path, data string) {
	t.Helper()
	check(t, os.WriteFile(path, []byte(data), 0o644))
}

// lstat returns the host's view of a file, in the form that the client's has.
func lstat(t testing.TB, path string) Attr {
	t.Helper()
	var st unix.Statx_t
	check(t, unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS|unix.STATX_BTIME, &st))
	e := encoder{b: make([]byte, attrSize)}
	e.putStatx(&st)
	var a Attr
	(&decoder{b: e.b}).attr(&a)
	return a
}
