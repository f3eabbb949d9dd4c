package vfs_test

import (
	"sync"
	"testing"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

func TestFDTable(t *testing.T) {
	w := newWorld(t)
	table := vfs.NewFDTable()
	open := func() *vfs.File {
		f, err := w.Open(cwd, "/", unix.O_RDONLY, 0)
		w.must(err)
		return f
	}
	add := func(min int32, limit uint64) int32 {
		t.Helper()
		f := open()
		fd, err := table.Add(f, min, false, limit)
		if err != nil {
			f.DecRef()
			return -1
		}
		return fd
	}
	for want := range int32(100) {
		if fd := add(0, 1000); fd != want {
			t.Fatalf("descriptor %d, want %d", fd, want)
		}
	}
	if fd := add(0, 100); fd != -1 {
		t.Errorf("descriptor %d beyond the limit", fd)
	}
	w.must(table.Close(w.Context, nil, 7))
	w.must(table.Close(w.Context, nil, 70))
	w.want(table.Close(w.Context, nil, 7), unix.EBADF)
	if fd := add(50, 1000); fd != 70 {
		t.Errorf("lowest from 50: %d", fd)
	}
	if fd := add(0, 1000); fd != 7 {
		t.Errorf("lowest: %d", fd)
	}
	if fd := add(5000, 10000); fd != 5000 {
		t.Errorf("far: %d", fd)
	}
	w.must(table.SetCloexec(3, true))
	fork := table.Fork(vfs.MaxFDs)
	table.CloseOnExec(w.Context, nil)
	if table.Get(3) != nil {
		t.Error("close-on-exec did not")
	}
	if on, ok := fork.Cloexec(3); !on || !ok {
		t.Error("the copy has lost close-on-exec")
	}
	table.CloseRange(w.Context, nil, 4, 4999)
	n := 0
	table.Each(func(int32, *vfs.File) bool { n++; return true })
	if n != 4 {
		t.Errorf("%d descriptors after close_range", n)
	}
	f := open()
	w.want(table.Replace(w.Context, nil, 1<<30, f, false, 1000), unix.EBADF)
	w.must(table.Replace(w.Context, nil, 0, f, true, 1000))
	fd, err := table.Reserve(0, 1000)
	w.must(err)
	if table.Get(fd) != nil {
		t.Error("a reserved descriptor has a file")
	}
	f.IncRef()
	w.want(table.Replace(w.Context, nil, fd, f, true, 1000), unix.EBUSY)
	f.DecRef()
	table.Unreserve(fd)
	table.DecRef(w.Context, nil)
	fork.DecRef(w.Context, nil)
}

// A flusher is a file that calls flushed when a descriptor of it is closed.
type flusher struct {
	vfs.FileDefaults
	flushed func()
}

func (f *flusher) Flush(*vfs.Context, *vfs.File) error {
	f.flushed()
	return unix.EIO
}

// A descriptor that is closed is gone before its file is told, and its number free after that.
func TestFlushBeforeReuse(t *testing.T) {
	w := newWorld(t)
	table := vfs.NewFDTable()
	told := 0
	ops := &flusher{flushed: func() {
		told++
		if table.Get(0) != nil {
			t.Error("the descriptor is still there")
		}
		fd, err := table.Reserve(0, 10)
		w.must(err)
		if fd == 0 {
			t.Error("the number is free already")
		}
		table.Unreserve(fd)
	}}
	for _, shut := range []func(){
		func() { w.want(table.Close(w.Context, nil, 0), unix.EIO) },
		func() { table.CloseRange(w.Context, nil, 0, 5) },
	} {
		root, err := w.Open(cwd, "/", unix.O_RDONLY, 0)
		w.must(err)
		path := root.Path()
		path.IncRef()
		if fd, err := table.Add(vfs.NewFile(w.Cred, path, unix.O_RDWR, ops), 0, false, 10); fd != 0 || err != nil {
			t.Fatal(fd, err)
		}
		root.DecRef()
		shut()
	}
	if told != 2 {
		t.Errorf("told %d times", told)
	}
	table.DecRef(w.Context, nil)
}

// TestFDTableRace gets and closes the same descriptors from several goroutines.
func TestFDTableRace(t *testing.T) {
	w := newWorld(t)
	table := vfs.NewFDTable()
	var wg sync.WaitGroup
	for range 3 {
		c := w.as(0)
		wg.Go(func() {
			for i := range 3000 {
				if f, err := c.Open(cwd, "/", unix.O_RDONLY, 0); err == nil {
					if _, err := table.Add(f, 0, false, 8); err != nil {
						f.DecRef()
					}
				}
				if f := table.Get(int32(i % 8)); f != nil {
					if f.Inode() == nil {
						t.Error("a file without an inode")
					}
					f.DecRef()
				}
				table.Close(c.Context, nil, int32(i*7%8))
			}
		})
	}
	wg.Wait()
	table.DecRef(w.Context, nil)
}
