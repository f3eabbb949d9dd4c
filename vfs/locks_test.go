package vfs_test

import (
	"fmt"
	"strings"
	"testing"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

func TestRecordLocks(t *testing.T) {
	w := newWorld(t)
	w.write("/f", "x")
	f, err := w.Open(cwd, "/f", unix.O_RDWR, 0)
	w.must(err)
	defer f.DecRef()
	set := func(owner string, typ int16, start, end int64, waiting bool) error {
		return f.SetLock(&vfs.Lock{Type: typ, Start: start, End: end, Owner: owner}, waiting)
	}
	locks := func() string {
		var s []string
		f.Inode().Locks(func(l vfs.Lock, _ bool) {
			s = append(s, fmt.Sprintf("%v:%d:%d-%d", l.Owner, l.Type, l.Start, l.End))
		})
		return strings.Join(s, " ")
	}
	w.must(set("a", unix.F_WRLCK, 0, 99, false))
	w.must(set("a", unix.F_UNLCK, 40, 49, false))
	w.must(set("a", unix.F_RDLCK, 60, 69, false))
	if got := locks(); got != "a:1:0-39 a:1:50-59 a:0:60-69 a:1:70-99" {
		t.Errorf("split: %s", got)
	}
	w.must(set("b", unix.F_RDLCK, 62, 65, false))
	w.want(set("b", unix.F_WRLCK, 62, 65, false), unix.EAGAIN)
	w.must(set("b", unix.F_WRLCK, 40, 49, false))
	w.want(set("a", unix.F_WRLCK, 45, 45, true), unix.EAGAIN)
	w.want(set("b", unix.F_WRLCK, 0, 0, true), unix.EDEADLK)
	f.CancelLock("a")
	w.want(set("b", unix.F_WRLCK, 0, 0, true), unix.EAGAIN)
	f.CancelLock("b")
	w.must(set("b", unix.F_UNLCK, 0, vfs.MaxLockEnd, false))
	w.must(set("a", unix.F_WRLCK, 0, vfs.MaxLockEnd, false))
	if got := locks(); got != fmt.Sprintf("a:1:0-%d", int64(vfs.MaxLockEnd)) {
		t.Errorf("joined: %s", got)
	}
	// A close by the owner of any descriptor of the file drops its locks.
	other, err := w.Open(cwd, "/f", unix.O_RDONLY, 0)
	w.must(err)
	table := vfs.NewFDTable()
	fd, err := table.Add(other, 0, false, 10)
	w.must(err)
	w.must(table.Close(w.Context, "a", fd))
	if got := locks(); got != "" {
		t.Errorf("after close: %s", got)
	}
}

func TestFlock(t *testing.T) {
	w := newWorld(t)
	w.write("/f", "x")
	open := func() *vfs.File {
		f, err := w.Open(cwd, "/f", unix.O_RDONLY, 0)
		w.must(err)
		return f
	}
	a, b := open(), open()
	w.must(a.Flock(unix.LOCK_SH))
	w.must(b.Flock(unix.LOCK_SH))
	w.want(a.Flock(unix.LOCK_EX), unix.EAGAIN)
	// The failed change has cost the old lock.
	w.must(b.Flock(unix.LOCK_EX))
	b.DecRef()
	w.must(a.Flock(unix.LOCK_EX))
	a.DecRef()
}
