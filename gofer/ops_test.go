package gofer

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestAttach(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "x")
	ro := tree(t, dir)
	ro.ReadOnly, ro.Shared = true, true
	c := pair(t, tree(t, dir+"/file"), ro)
	if c.Trees() != 2 {
		t.Errorf("%d trees", c.Trees())
	}
	f, err := c.Attach(0)
	check(t, err)
	if !f.Attr.IsRegular() || f.ReadOnly || f.Shared || f.Connect {
		t.Errorf("tree of a file: %+v", f)
	}
	d, err := c.Attach(1)
	check(t, err)
	if d.Attr != lstat(t, dir) || !d.ReadOnly || !d.Shared {
		t.Errorf("tree of a directory: %+v", d)
	}
	_, err = c.Attach(2)
	wantErrno(t, err, unix.ENOENT)

	o, err := c.Open(f.Node.At(), unix.O_RDWR)
	check(t, err)
	unix.Close(o.FD)
	_, err = c.Open(Target{f.Node, "file"}, unix.O_RDONLY)
	wantErrno(t, err, unix.ENOTDIR)
}

func TestWalk(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.MkdirAll(dir+"/a/b", 0o755))
	write(t, dir+"/a/b/file", "x")
	check(t, os.Symlink("a/b", dir+"/link"))
	long := strings.Repeat("n", 255)

	tests := []struct {
		path    string
		handles bool
		n       int
		stop    Stop
		link    string
	}{
		{"a", false, 1, StopNone, ""},
		{"a/b/file", false, 3, StopNone, ""},
		{"a/b/file", true, 3, StopNone, ""},
		{"missing", false, 0, StopMissing, ""},
		{"a/b/missing/more", false, 2, StopMissing, ""},
		{"a/" + long, false, 1, StopMissing, ""},
		{"link", false, 1, StopSymlink, "a/b"},
		{"link", true, 1, StopSymlink, "a/b"},
		{"link/file", false, 1, StopSymlink, "a/b"},
		{"a/b/file/more", false, 3, StopNotDir, ""},
	}
	for _, tt := range tests {
		names := strings.Split(tt.path, "/")
		out := make([]Entry, len(names))
		n, stop, link, err := c.Walk(root, names, tt.handles, out)
		if n != tt.n || stop != tt.stop || link != tt.link || err != nil {
			t.Errorf("%s: %d entries, stop %d, link %q, %v", tt.path, n, stop, link, err)
			continue
		}
		for i := range n {
			want := lstat(t, filepath.Join(dir, filepath.Join(names[:i+1]...)))
			if want.IsSymlink() {
				out[i].Attr.Atime = want.Atime // reading it changes that
			}
			if out[i].Attr != want {
				t.Errorf("%s: attributes of entry %d: %+v, want %+v", tt.path, i, out[i].Attr, want)
			}
			has := out[i].Node != 0
			if want := out[i].Attr.IsDir() || tt.handles && i == len(names)-1; has != want {
				t.Errorf("%s: entry %d has a node: %v", tt.path, i, has)
			}
			if has {
				a, err := c.Getattr(out[i].Node.At())
				if err != nil || a.Ino != out[i].Attr.Ino {
					t.Errorf("%s: node of entry %d: %v, %v", tt.path, i, a, err)
				}
				c.Release(out[i].Node)
			}
		}
	}
	for _, tt := range []struct {
		name string
		want unix.Errno
	}{{"..", unix.EINVAL}, {".", unix.EINVAL}, {"a/b", unix.EINVAL}, {"", unix.ENOENT},
		{"a\x00b", unix.EINVAL}, {long + "n", unix.ENAMETOOLONG}} {
		_, _, _, err := c.Walk(root, []string{tt.name}, false, make([]Entry, 1))
		wantErrno(t, err, tt.want)
	}
	_, _, _, err := c.Walk(root, make([]string, MaxWalk+1), false, make([]Entry, MaxWalk+1))
	wantErrno(t, err, unix.EINVAL)
}

func TestRelease(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "x")
	out := make([]Entry, 1)
	_, _, _, err := c.Walk(root, []string{"f"}, true, out)
	check(t, err)
	check(t, os.Remove(dir+"/f"))
	a, err := c.Getattr(out[0].Node.At())
	check(t, err)
	if a.Nlink != 0 {
		t.Errorf("%d links", a.Nlink)
	}
	c.Release(out[0].Node)
	c.Flush()
	_, err = c.Getattr(out[0].Node.At())
	wantErrno(t, err, unix.ESTALE)
	// The index is used again, with another generation.
	write(t, dir+"/f", "x")
	old := out[0].Node
	_, _, _, err = c.Walk(root, []string{"f"}, true, out)
	check(t, err)
	if out[0].Node == old || uint32(out[0].Node) != uint32(old) {
		t.Errorf("nodes %#x, then %#x", old, out[0].Node)
	}
	for range 1000 {
		c.Release(Node(1<<63 | 12345)) // names nothing
	}
	c.Flush()
}

func TestGetattrBatch(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "abc")
	long := strings.Repeat("n", 255)
	targets := []Target{root.At(), {root, "f"}, {root, "missing"}, {Node: 77}}
	for len(targets) < MaxGetattr {
		targets = append(targets, Target{root, long})
	}
	out := make([]AttrResult, len(targets))
	check(t, c.GetattrBatch(targets, out))
	if out[0].Errno != 0 || out[0].Attr != lstat(t, dir) || out[1].Errno != 0 || out[1].Attr != lstat(t, dir+"/f") {
		t.Errorf("%+v", out[:2])
	}
	for i, r := range out[2:] {
		want := unix.ENOENT
		if i == 1 {
			want = unix.ESTALE
		}
		if r.Errno != want {
			t.Errorf("target %d: %v, want %v", i+2, r.Errno, want)
		}
	}
	_, err := c.Getattr(Target{root, "missing"})
	wantErrno(t, err, unix.ENOENT)
}

func TestReaddir(t *testing.T) {
	c, dir, root := dirPair(t)
	want := map[string]Attr{}
	for i := range 3000 {
		name := fmt.Sprintf("%d", i)
		switch i % 3 {
		case 0:
			name = strings.Repeat("x", 251) + fmt.Sprintf("%04d", i)
			check(t, os.Mkdir(dir+"/"+name, 0o700))
		case 1:
			check(t, os.Symlink("nowhere", dir+"/"+name))
		case 2:
			write(t, dir+"/"+name, name)
		}
		want[name] = lstat(t, dir+"/"+name)
	}
	for _, max := range []int{1, 10000, 1 << 30} {
		got := map[string]Attr{}
		var cookie uint64
		messages, end := 0, false
		var ents []Dirent
		for !end {
			var err error
			ents, cookie, end, err = c.Readdir(root, cookie, max, ents[:0])
			check(t, err)
			messages++
			for _, e := range ents {
				if e.NoAttr || got[e.Name] != (Attr{}) {
					t.Fatalf("%+v: twice or without attributes", e)
				}
				got[e.Name] = e.Attr
			}
			if len(ents) == 0 && !end {
				t.Fatal("a message with nothing")
			}
		}
		if len(got) != len(want) {
			t.Fatalf("max %d: %d entries, want %d", max, len(got), len(want))
		}
		for name, a := range want {
			if got[name] != a {
				t.Fatalf("%s: %+v, want %+v", name, got[name], a)
			}
		}
		t.Logf("max %d: %d messages", max, messages)
	}
	// From a cookie in the middle, in two streams at once.
	ents, _, _, err := c.Readdir(root, 0, 1<<20, nil)
	check(t, err)
	for _, i := range []int{5, 100, 5} {
		more, _, _, err := c.Readdir(root, ents[i].Cookie, 5000, nil)
		check(t, err)
		if more[0].Name != ents[i+1].Name {
			t.Errorf("after entry %d: %q, want %q", i, more[0].Name, ents[i+1].Name)
		}
	}
	write(t, dir+"/file", "")
	out := make([]Entry, 1)
	_, _, _, err = c.Walk(root, []string{"file"}, true, out)
	check(t, err)
	_, _, _, err = c.Readdir(out[0].Node, 0, 5000, nil)
	wantErrno(t, err, unix.ENOTDIR)
}

func TestOpen(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "hello")
	o, err := c.Open(Target{root, "f"}, unix.O_RDWR)
	check(t, err)
	defer unix.Close(o.FD)
	if o.Attr != lstat(t, dir+"/f") {
		t.Errorf("attributes %+v", o.Attr)
	}
	if fl, _ := unix.FcntlInt(uintptr(o.FD), unix.F_GETFD, 0); fl&unix.FD_CLOEXEC == 0 {
		t.Error("descriptor without FD_CLOEXEC")
	}
	if _, err := unix.Pwrite(o.FD, []byte("J"), 0); err != nil {
		t.Fatal(err)
	}
	// Unlinked, the node still opens it.
	check(t, os.Remove(dir+"/f"))
	o2, err := c.Open(o.Node.At(), unix.O_RDONLY)
	check(t, err)
	defer unix.Close(o2.FD)
	b := make([]byte, 10)
	n, err := unix.Pread(o2.FD, b, 0)
	check(t, err)
	if string(b[:n]) != "Jello" || o2.Node != 0 {
		t.Errorf("read %q, node %d", b[:n], o2.Node)
	}
	if _, err := unix.Pwrite(o2.FD, b, 0); err != unix.EBADF {
		t.Errorf("writing to an O_RDONLY descriptor: %v", err)
	}
	o3, err := c.Open(o.Node.At(), unix.O_WRONLY|unix.O_TRUNC)
	check(t, err)
	unix.Close(o3.FD)
	if o3.Attr.Size != 0 {
		t.Errorf("size %d after O_TRUNC", o3.Attr.Size)
	}
}

func TestOpenOtherTypes(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.Mkdir(dir+"/dir", 0o755))
	check(t, os.Symlink("/etc/passwd", dir+"/link"))
	check(t, unix.Mkfifo(dir+"/fifo", 0o666))
	tests := map[string]unix.Errno{"dir": unix.EISDIR, "link": unix.ELOOP, "fifo": unix.ENXIO, "missing": unix.ENOENT}
	if err := unix.Mknod(dir+"/null", unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err == nil {
		tests["null"] = unix.ENXIO
	}
	for name, want := range tests {
		_, err := c.Open(Target{root, name}, unix.O_RDONLY)
		wantErrno(t, err, want)
		if name != "missing" {
			_, err = c.Create(root, name, unix.O_RDWR, 0o600, 0, 0)
			wantErrno(t, err, want)
			_, err = c.Create(root, name, unix.O_RDWR|unix.O_EXCL, 0o600, 0, 0)
			wantErrno(t, err, unix.EEXIST)
		}
	}
	for _, flags := range []int{unix.O_PATH, unix.O_APPEND, unix.O_CREAT, unix.O_DIRECTORY, unix.O_TMPFILE, unix.O_ACCMODE, -1} {
		_, err := c.Open(Target{root, "dir"}, flags)
		wantErrno(t, err, unix.EINVAL)
	}
}

func TestCreate(t *testing.T) {
	c, dir, root := dirPair(t)
	// The umask of the process must not matter.
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	o, err := c.Create(root, "f", unix.O_RDWR|unix.O_EXCL, 0o666, uid, gid)
	check(t, err)
	if !o.New || o.Attr != lstat(t, dir+"/f") || o.Attr.Mode != unix.S_IFREG|0o666 || o.DirAttr != lstat(t, dir) {
		t.Errorf("created %+v", o)
	}
	_, err = unix.Pwrite(o.FD, []byte("data"), 0)
	check(t, err)
	// Once our descriptor is closed nobody holds the file for writing.
	unix.Close(o.FD)
	check(t, os.Chmod(dir+"/f", 0o777))
	check(t, os.WriteFile(dir+"/f", []byte("#!/bin/sh\nexit 0\n"), 0))
	if p, err := os.StartProcess(dir+"/f", []string{"f"}, &os.ProcAttr{}); err != nil {
		t.Errorf("executing the created file: %v", err)
	} else {
		p.Wait()
	}

	again, err := c.Create(root, "f", unix.O_RDONLY, 0o600, uid, gid)
	check(t, err)
	unix.Close(again.FD)
	if again.New || again.Attr.Ino != o.Attr.Ino {
		t.Errorf("opened %+v", again)
	}
	_, err = c.Create(root, "f", unix.O_RDONLY|unix.O_EXCL, 0o600, uid, gid)
	wantErrno(t, err, unix.EEXIST)
	_, err = c.Create(root, "g", unix.O_RDWR, unix.S_IFIFO|0o600, uid, gid)
	wantErrno(t, err, unix.EINVAL)

	o, err = c.Create(root, "ro", unix.O_RDWR, 0o400, uid, gid)
	check(t, err)
	unix.Close(o.FD)
	if os.Geteuid() != 0 {
		return
	}
	o, err = c.Create(root, "suid", unix.O_WRONLY, 0o6755, 1234, 5678)
	check(t, err)
	unix.Close(o.FD)
	if o.Attr.UID != 1234 || o.Attr.GID != 5678 || o.Attr.Mode != unix.S_IFREG|0o6755 || o.Attr != lstat(t, dir+"/suid") {
		t.Errorf("created %+v", o.Attr)
	}
}

func TestMake(t *testing.T) {
	c, dir, root := dirPair(t)
	uid, gid := uint32(os.Geteuid()), uint32(os.Getegid())
	if uid == 0 {
		uid, gid = 17, 18
	}
	m, err := c.Mkdir(root, "d", 0o1777, uid, gid)
	check(t, err)
	if m.Attr != lstat(t, dir+"/d") || m.DirAttr != lstat(t, dir) || m.Attr.Mode != unix.S_IFDIR|0o1777 || m.Attr.UID != uid || m.Attr.GID != gid {
		t.Errorf("mkdir: %+v", m)
	}
	_, err = c.Mkdir(root, "d", 0o777, uid, gid)
	wantErrno(t, err, unix.EEXIST)

	l, err := c.Symlink(m.Node, "l", "../../..", uid, gid)
	check(t, err)
	if l.Attr != lstat(t, dir+"/d/l") || l.DirAttr != lstat(t, dir+"/d") || !l.Attr.IsSymlink() || l.Attr.UID != uid {
		t.Errorf("symlink: %+v", l)
	}
	target, err := c.Readlink(Target{m.Node, "l"})
	check(t, err)
	if target != "../../.." {
		t.Errorf("readlink: %q", target)
	}
	_, err = c.Readlink(m.Node.At())
	if err == nil {
		t.Error("readlink of a directory succeeded")
	}

	for _, mode := range []uint32{unix.S_IFREG | 0o600, unix.S_IFIFO | 0o666, unix.S_IFSOCK | 0o777} {
		name := fmt.Sprintf("%o", mode)
		n, err := c.Mknod(root, name, mode, 0, 0, uid, gid)
		check(t, err)
		if n.Attr.Mode != mode || n.Attr != lstat(t, dir+"/"+name) || n.Attr.UID != uid {
			t.Errorf("mknod %s: %+v", name, n)
		}
	}
	_, err = c.Mknod(root, "x", unix.S_IFDIR|0o700, 0, 0, uid, gid)
	wantErrno(t, err, unix.EINVAL)
	n, err := c.Mknod(root, "dev", unix.S_IFCHR|0o600, 1, 3, uid, gid)
	host := unix.Mknod(dir+"/hostdev", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3)))
	switch {
	case host == nil && (err != nil || n.Attr.RdevMajor != 1 || n.Attr.RdevMinor != 3):
		t.Errorf("mknod of a device: %+v, %v", n, err)
	case host != nil && err != host:
		t.Errorf("mknod of a device: %v, the host says %v", err, host)
	}

	write(t, dir+"/f", "x")
	h, err := c.Link(Target{root, "f"}, m.Node, "hard")
	check(t, err)
	if h.Attr.Nlink != 2 || h.Attr != lstat(t, dir+"/f") || h.DirAttr != lstat(t, dir+"/d") {
		t.Errorf("link: %+v", h)
	}
	out := make([]Entry, 1)
	_, _, _, err = c.Walk(root, []string{"f"}, true, out)
	check(t, err)
	h, err = c.Link(out[0].Node.At(), root, "hard2")
	check(t, err)
	if h.Attr.Nlink != 3 {
		t.Errorf("link of a node: %+v", h)
	}
	// A link to a symbolic link is one to itself.
	_, _, _, err = c.Walk(m.Node, []string{"l"}, true, out)
	check(t, err)
	for i, tt := range []Target{{m.Node, "l"}, out[0].Node.At()} {
		h, err = c.Link(tt, root, fmt.Sprint("linklink", i))
		check(t, err)
		if !h.Attr.IsSymlink() || h.Attr.Ino != l.Attr.Ino {
			t.Errorf("link of a symbolic link: %+v", h)
		}
	}
	_, err = c.Link(root.At(), root, "dirlink")
	wantErrno(t, err, unix.EPERM)
}

func TestRemove(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.Mkdir(dir+"/d", 0o755))
	write(t, dir+"/d/f", "x")
	_, err := c.Unlink(root, "d")
	wantErrno(t, err, unix.EISDIR)
	_, err = c.Rmdir(root, "d")
	wantErrno(t, err, unix.ENOTEMPTY)
	out := make([]Entry, 1)
	_, _, _, err = c.Walk(root, []string{"d"}, false, out)
	check(t, err)
	_, err = c.Rmdir(out[0].Node, "f")
	wantErrno(t, err, unix.ENOTDIR)
	a, err := c.Unlink(out[0].Node, "f")
	check(t, err)
	if a != lstat(t, dir+"/d") {
		t.Errorf("unlink: %+v", a)
	}
	a, err = c.Rmdir(root, "d")
	check(t, err)
	if a != lstat(t, dir) {
		t.Errorf("rmdir: %+v", a)
	}
	_, err = c.Unlink(root, "d")
	wantErrno(t, err, unix.ENOENT)
	_, err = c.Create(out[0].Node, "f", unix.O_RDWR, 0o600, 0, 0)
	wantErrno(t, err, unix.ENOENT)
	for _, name := range []string{".", "..", "a/b"} {
		_, err = c.Rmdir(root, name)
		wantErrno(t, err, unix.EINVAL)
	}
}

func TestRename(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.Mkdir(dir+"/d", 0o755))
	write(t, dir+"/a", "a")
	write(t, dir+"/b", "b")
	out := make([]Entry, 1)
	_, _, _, err := c.Walk(root, []string{"d"}, false, out)
	check(t, err)
	d := out[0].Node
	_, _, err = c.Rename(root, "a", root, "b", unix.RENAME_NOREPLACE)
	wantErrno(t, err, unix.EEXIST)
	_, _, err = c.Rename(root, "a", root, "b", unix.RENAME_EXCHANGE)
	check(t, err)
	if got, _ := os.ReadFile(dir + "/a"); string(got) != "b" {
		t.Errorf("after the exchange a holds %q", got)
	}
	x, y, err := c.Rename(root, "a", d, "c", 0)
	check(t, err)
	if x != lstat(t, dir) || y != lstat(t, dir+"/d") {
		t.Errorf("rename: %+v, %+v", x, y)
	}
	_, _, err = c.Rename(root, "a", d, "c", 0)
	wantErrno(t, err, unix.ENOENT)
	_, _, err = c.Rename(root, "d", d, "x", 0)
	wantErrno(t, err, unix.EINVAL)
	_, _, err = c.Rename(root, "b", d, "x", unix.RENAME_WHITEOUT)
	wantErrno(t, err, unix.EINVAL)
	// A node follows its directory.
	_, _, err = c.Rename(root, "d", root, "e", 0)
	check(t, err)
	_, err = c.Getattr(Target{d, "c"})
	check(t, err)
}

func TestSetattr(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "hello")
	check(t, os.Symlink("f", dir+"/l"))
	out := make([]Entry, 1)
	_, _, _, err := c.Walk(root, []string{"f"}, true, out)
	check(t, err)
	for _, target := range []Target{{root, "f"}, out[0].Node.At()} {
		a, err := c.Setattr(target, &SetAttr{
			Valid: SetMode | SetSize | SetAtime | SetMtime,
			Mode:  0o4711, Size: 1 << 33,
			Atime: Timestamp{-5, 6}, Mtime: Timestamp{1 << 32, 999999999},
		})
		check(t, err)
		if a != lstat(t, dir+"/f") || a.Mode != unix.S_IFREG|0o4711 || a.Size != 1<<33 ||
			a.Atime != (Timestamp{-5, 6}) || a.Mtime != (Timestamp{1 << 32, 999999999}) {
			t.Errorf("setattr: %+v", a)
		}
		b, err := c.Setattr(target, &SetAttr{Valid: SetAtime | SetMtime,
			Atime: Timestamp{Nsec: unix.UTIME_OMIT}, Mtime: Timestamp{Nsec: unix.UTIME_NOW}})
		check(t, err)
		if b.Atime != a.Atime || b.Mtime == a.Mtime || b.Mtime.Sec < b.Btime.Sec {
			t.Errorf("UTIME_OMIT, UTIME_NOW: %+v", b)
		}
		_, err = c.Setattr(target, &SetAttr{Valid: SetMtime, Mtime: Timestamp{Nsec: 1000000000}})
		wantErrno(t, err, unix.EINVAL)
	}
	// Times and owner of the link itself; its mode cannot be changed.
	a, err := c.Setattr(Target{root, "l"}, &SetAttr{Valid: SetMtime, Mtime: Timestamp{77, 0}})
	check(t, err)
	if !a.IsSymlink() || a.Mtime.Sec != 77 || a != lstat(t, dir+"/l") {
		t.Errorf("setattr of a link: %+v", a)
	}
	_, err = c.Setattr(Target{root, "l"}, &SetAttr{Valid: SetMode, Mode: 0o600})
	wantErrno(t, err, unix.EOPNOTSUPP)
	_, err = c.Setattr(Target{root, "l"}, &SetAttr{Valid: SetSize})
	wantErrno(t, err, unix.EINVAL)
	_, err = c.Setattr(root.At(), &SetAttr{Valid: SetSize})
	wantErrno(t, err, unix.EISDIR)
	_, err = c.Setattr(root.At(), &SetAttr{Valid: 1 << 20})
	wantErrno(t, err, unix.EINVAL)
	_, err = c.Setattr(Target{root, "f"}, &SetAttr{Valid: SetSize, Size: 1 << 63})
	wantErrno(t, err, unix.EINVAL)
	if os.Geteuid() == 0 {
		for _, name := range []string{"f", "l"} {
			a, err = c.Setattr(Target{root, name}, &SetAttr{Valid: SetUID, UID: 99})
			check(t, err)
			if a.UID != 99 || a.GID != lstat(t, dir).GID || a != lstat(t, dir+"/"+name) {
				t.Errorf("chown of %s: %+v", name, a)
			}
		}
	}
}

func TestXattr(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "")
	check(t, os.Symlink("f", dir+"/l"))
	if err := unix.Setxattr(dir+"/f", "user.probe", []byte("x"), 0); err != nil {
		t.Skipf("no user attributes here: %v", err)
	}
	check(t, unix.Removexattr(dir+"/f", "user.probe"))
	f := Target{root, "f"}
	value := bytes.Repeat([]byte("v"), 1000)
	check(t, c.Setxattr(f, "user.a", value, unix.XATTR_CREATE))
	wantErrno(t, c.Setxattr(f, "user.a", value, unix.XATTR_CREATE), unix.EEXIST)
	wantErrno(t, c.Setxattr(f, "user.b", nil, unix.XATTR_REPLACE), unix.ENODATA)
	check(t, c.Setxattr(f, "user.b", nil, 0))
	n, err := c.Getxattr(f, "user.a", nil)
	check(t, err)
	if n != len(value) {
		t.Errorf("length %d", n)
	}
	buf := make([]byte, maxXattr+10)
	n, err = c.Getxattr(f, "user.a", buf)
	check(t, err)
	if !bytes.Equal(buf[:n], value) {
		t.Errorf("value %q", buf[:n])
	}
	_, err = c.Getxattr(f, "user.a", buf[:10])
	wantErrno(t, err, unix.ERANGE)
	_, err = c.Getxattr(f, "user.none", buf)
	wantErrno(t, err, unix.ENODATA)
	n, err = c.Listxattr(f, buf)
	check(t, err)
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	sort.Strings(names)
	if strings.Join(names, " ") != "user.a user.b" {
		t.Errorf("names %q", names)
	}
	n, err = c.Listxattr(f, nil)
	check(t, err)
	if n != len("user.a user.b ") {
		t.Errorf("length of the list %d", n)
	}
	check(t, c.Removexattr(f, "user.a"))
	wantErrno(t, c.Removexattr(f, "user.a"), unix.ENODATA)
	// Never through a link.
	if err := c.Setxattr(Target{root, "l"}, "user.c", nil, 0); err != unix.EPERM {
		t.Errorf("setting an attribute of a link: %v", err)
	}
	wantErrno(t, c.Setxattr(f, "user.big", make([]byte, maxXattr+1), 0), unix.E2BIG)
	wantErrno(t, c.Setxattr(f, "", nil, 0), unix.ERANGE)
	if err := c.Setxattr(f, "user.big", make([]byte, maxXattr), 0); err != nil && err != unix.ENOSPC {
		t.Errorf("the longest value: %v", err)
	}
}

func TestStatfsSyncFallocate(t *testing.T) {
	c, dir, root := dirPair(t)
	write(t, dir+"/f", "x")
	var want unix.Statfs_t
	check(t, unix.Statfs(dir, &want))
	st, err := c.Statfs(root)
	check(t, err)
	if st.Type != uint64(want.Type) || st.Blocks != want.Blocks || st.Namelen != uint64(want.Namelen) || st.Flags != uint64(want.Flags) {
		t.Errorf("statfs: %+v, want %+v", st, want)
	}
	out := make([]Entry, 1)
	_, _, _, err = c.Walk(root, []string{"f"}, true, out)
	check(t, err)
	f := out[0].Node
	for _, n := range []Node{root, f} {
		check(t, c.Fsync(n, false))
		check(t, c.Fsync(n, true))
		check(t, c.Syncfs(n))
	}
	wantErrno(t, c.Fsync(99, false), unix.ESTALE)
	a, err := c.Fallocate(f, 0, 0, 10000)
	check(t, err)
	if a.Size != 10000 || a != lstat(t, dir+"/f") {
		t.Errorf("fallocate: %+v", a)
	}
	_, err = c.Fallocate(root, 0, 0, 1)
	wantErrno(t, err, unix.EISDIR)
	_, err = c.Fallocate(f, 0, 1<<63, 1)
	wantErrno(t, err, unix.EINVAL)
}

func TestConnect(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", dir+"/s")
	check(t, err)
	defer l.Close()
	write(t, dir+"/f", "")
	check(t, os.Symlink("s", dir+"/l"))
	yes := tree(t, dir)
	yes.Connect = true
	c := pair(t, yes, tree(t, dir))
	r, err := c.Attach(0)
	check(t, err)
	fd, err := c.Connect(Target{r.Node, "s"}, unix.SOCK_STREAM)
	check(t, err)
	peer, err := l.Accept()
	check(t, err)
	defer peer.Close()
	_, err = unix.Write(fd, []byte("hi"))
	check(t, err)
	b := make([]byte, 2)
	_, err = peer.Read(b)
	check(t, err)
	if string(b) != "hi" {
		t.Errorf("read %q", b)
	}
	unix.Close(fd)
	for name, want := range map[string]unix.Errno{"f": unix.ECONNREFUSED, "l": unix.ECONNREFUSED, "missing": unix.ENOENT} {
		_, err = c.Connect(Target{r.Node, name}, unix.SOCK_STREAM)
		wantErrno(t, err, want)
	}
	_, err = c.Connect(Target{r.Node, "s"}, unix.SOCK_DGRAM)
	wantErrno(t, err, unix.EPROTOTYPE)
	_, err = c.Connect(Target{r.Node, "s"}, unix.SOCK_RAW)
	wantErrno(t, err, unix.EPROTOTYPE)
	r, err = c.Attach(1)
	check(t, err)
	_, err = c.Connect(Target{r.Node, "s"}, unix.SOCK_STREAM)
	wantErrno(t, err, unix.EACCES)
}

func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/f", "x")
	ro := tree(t, dir)
	ro.ReadOnly = true
	c := pair(t, ro, tree(t, dir))
	r, err := c.Attach(0)
	check(t, err)
	rw, err := c.Attach(1)
	check(t, err)
	f := Target{r.Node, "f"}
	o, err := c.Open(f, unix.O_RDONLY)
	check(t, err)
	unix.Close(o.FD)
	n := r.Node
	changes := map[string]func() error{
		"open for writing":  func() error { _, err := c.Open(f, unix.O_WRONLY); return err },
		"open a node":       func() error { _, err := c.Open(o.Node.At(), unix.O_RDWR); return err },
		"open truncating":   func() error { _, err := c.Open(f, unix.O_RDONLY|unix.O_TRUNC); return err },
		"create":            func() error { _, err := c.Create(n, "g", unix.O_RDONLY, 0o600, 0, 0); return err },
		"mkdir":             func() error { _, err := c.Mkdir(n, "g", 0o700, 0, 0); return err },
		"symlink":           func() error { _, err := c.Symlink(n, "g", "f", 0, 0); return err },
		"link":              func() error { _, err := c.Link(f, n, "g"); return err },
		"mknod":             func() error { _, err := c.Mknod(n, "g", unix.S_IFREG, 0, 0, 0, 0); return err },
		"unlink":            func() error { _, err := c.Unlink(n, "f"); return err },
		"rmdir":             func() error { _, err := c.Rmdir(n, "f"); return err },
		"rename":            func() error { _, _, err := c.Rename(n, "f", n, "g", 0); return err },
		"rename from there": func() error { _, _, err := c.Rename(n, "f", rw.Node, "g", 0); return err },
		"rename to there":   func() error { _, _, err := c.Rename(rw.Node, "f", n, "g", 0); return err },
		"setattr":           func() error { _, err := c.Setattr(f, &SetAttr{}); return err },
		"fallocate":         func() error { _, err := c.Fallocate(o.Node, 0, 0, 1); return err },
		"setxattr":          func() error { return c.Setxattr(f, "user.a", nil, 0) },
		"removexattr":       func() error { return c.Removexattr(f, "user.a") },
	}
	for name, change := range changes {
		if err := change(); err != unix.EROFS {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = c.Link(f, rw.Node, "g")
	wantErrno(t, err, unix.EXDEV)
	if ents, _ := os.ReadDir(dir); len(ents) != 1 {
		t.Errorf("the directory has changed: %v", ents)
	}
}

func TestServerGone(t *testing.T) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	s, err := newServer(p[0], []Tree{tree(t, t.TempDir())})
	check(t, err)
	c, err := Dial(p[1])
	check(t, err)
	// Nobody serves, so the call hangs until the connection ends.
	result := make(chan error, 40)
	for range cap(result) {
		go func() { _, err := c.Attach(0); result <- err }()
	}
	for s.mem.pending().Load() == 0 {
		select {
		case err := <-result:
			t.Fatal("answered without a server: ", err)
		default:
		}
	}
	s.closeFiles()
	for range cap(result) {
		if err := <-result; !errors.Is(err, unix.EIO) {
			t.Errorf("a call in flight: %v", err)
		}
	}
	<-c.Done()
	_, err = c.Attach(0)
	wantErrno(t, err, unix.EIO)
	c.Close()
}

func TestTmpfile(t *testing.T) {
	c, dir, root := dirPair(t)
	o, err := c.Tmpfile(root, unix.O_RDWR, 0o4640, noID, noID)
	if err == unix.EOPNOTSUPP {
		t.Skip("the file system has none")
	}
	check(t, err)
	defer unix.Close(o.FD)
	if o.Attr.Nlink != 0 || o.Attr.Mode != unix.S_IFREG|0o4640 {
		t.Errorf("nlink %d, mode %o", o.Attr.Nlink, o.Attr.Mode)
	}
	_, err = unix.Write(o.FD, []byte("x"))
	check(t, err)
	m, err := c.Link(o.Node.At(), root, "f")
	check(t, err)
	if m.Attr.Nlink != 1 || m.Attr != lstat(t, dir+"/f") {
		t.Errorf("%+v", m.Attr)
	}
	c.Release(o.Node)

	o, err = c.Tmpfile(root, unix.O_RDWR|unix.O_EXCL, 0o600, noID, noID)
	check(t, err)
	unix.Close(o.FD)
	_, err = c.Link(o.Node.At(), root, "g")
	wantErrno(t, err, unix.ENOENT)
	_, err = c.Tmpfile(root, unix.O_RDWR|unix.O_CREAT, 0o600, noID, noID)
	wantErrno(t, err, unix.EINVAL)
}
