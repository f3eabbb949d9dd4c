package kernel

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// A network is a namespace's stack that tells when it is closed.
type network chan struct{}

func (n network) Close() { close(n) }

// closed reports whether the stack is closed, for which it waits if it is to be.
func (n network) closed(t *testing.T, want bool) {
	t.Helper()
	if !want {
		select {
		case <-n:
			t.Fatal("the network is closed while it is in use")
		default:
		}
		return
	}
	select {
	case <-n:
	case <-time.After(30 * time.Second):
		t.Fatal("the network has not been closed")
	}
}

// TestNetNamespaceGoes has each kind of reference be the last one to a network namespace.
func TestNetNamespaceGoes(t *testing.T) {
	task := newTestProcess(t)
	home := task.Namespaces().Net
	enter := func() network {
		t.Helper()
		if err := task.Unshare(unix.CLONE_NEWNET); err != nil {
			t.Fatal(err)
		}
		n := make(network)
		task.Namespaces().Net.Stack.Store(n)
		return n
	}
	leave := func() {
		t.Helper()
		if err := task.setns(home); err != nil {
			t.Fatal(err)
		}
	}

	n := enter()
	n.closed(t, false)
	leave()
	n.closed(t, true)

	n = enter()
	fd, err := task.OpenNamespace(task.Namespace("net"))
	if err != nil {
		t.Fatal(err)
	}
	leave()
	n.closed(t, false)
	if err := task.Setns(int32(fd), 0); err != nil {
		t.Fatal(err)
	}
	leave()
	n.closed(t, false)
	task.FDTable().Close(task.fs, task.tg, int32(fd))
	n.closed(t, true)

	n = enter()
	file, err := task.fs.Open(vfs.Start{}, "/ns", unix.O_CREAT|unix.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	src := task.k.NamespacePath(task.Namespace("net"))
	if err := task.fs.Bind(src, file.Path(), false); err != nil {
		t.Fatal(err)
	}
	src.DecRef()
	leave()
	n.closed(t, false)
	at, err := task.fs.Walk(vfs.Start{}, "/ns", vfs.WalkFollow)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.fs.Unmount(at, 0); err != nil {
		t.Fatal(err)
	}
	n.closed(t, true)

	// A namespace that a failing clone(2) has made, and one of a child.
	if _, err := task.Clone(&CloneArgs{Flags: unix.CLONE_NEWNET | unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_VM | unix.CLONE_NEWPID}); err != unix.EINVAL {
		t.Errorf("clone: %v", err)
	}
	n = enter()
	tid, err := task.Clone(&CloneArgs{Flags: unix.CLONE_VM})
	if err != nil {
		t.Fatal(err)
	}
	leave()
	n.closed(t, false)
	call(task.PIDNamespace().Task(int32(tid)), unix.SYS_EXIT, 0)
	n.closed(t, true)
	if !home.Alive() {
		t.Error("the first namespace has gone")
	}
}
