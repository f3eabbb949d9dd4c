package kernel

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMaxTasks(t *testing.T) {
	task := newTestProcess(t)
	task.k.maxTasks.Store(3)
	first := sibling(t, task)
	sibling(t, task)
	thread := &CloneArgs{Flags: unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_FS | unix.CLONE_FILES}
	if _, err := task.Clone(thread); err != unix.EAGAIN {
		t.Errorf("a fourth task: %v, want EAGAIN", err)
	}
	if n := task.k.NumTasks(); n != 3 {
		t.Errorf("%d tasks are counted", n)
	}
	first.abandon()
	if _, err := task.Clone(thread); err != nil {
		t.Errorf("a task in the place of another: %v", err)
	}
}

func TestCgroupTasks(t *testing.T) {
	task := newTestProcess(t)
	g := task.tg.Cgroup()
	g.SetLimits(CgroupLimits{Tasks: 2})
	first := sibling(t, task)
	thread := &CloneArgs{Flags: unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND | unix.CLONE_FS | unix.CLONE_FILES}
	if _, err := task.Clone(thread); err != unix.EAGAIN {
		t.Errorf("a third task: %v, want EAGAIN", err)
	}
	if now, most, refused := g.Tasks(); now != 2 || most != 2 || refused != 1 {
		t.Errorf("%d tasks are counted, %d at most, %d refused", now, most, refused)
	}
	first.abandon()
	if now, most, _ := g.Tasks(); now != 1 || most != 2 {
		t.Errorf("after the end of one: %d tasks are counted, %d at most", now, most)
	}
	if all := g.ThreadGroups(); len(all) != 1 || all[0] != task.tg {
		t.Errorf("%d processes are in the group", len(all))
	}
}

func TestFreeze(t *testing.T) {
	task := newTestProcess(t)
	g := task.tg.Cgroup()
	g.Freeze()
	left := make(chan struct{})
	go func() {
		defer close(left)
		task.HandleInterrupt(task.ctx)
	}()
	for task.waker.state.Load() != wakerParked {
		runtime.Gosched()
	}
	task.Wake() // which is for somebody else
	for task.waker.state.Load() != wakerParked {
		runtime.Gosched()
	}
	select {
	case <-left:
		t.Fatal("a frozen task goes on")
	default:
	}
	g.Thaw()
	<-left
	g.Freeze()
	if n := sibling(t, task); n.work.Load()&workFreeze == 0 {
		t.Error("a task that is made in a frozen group is not frozen")
	}
	g.Thaw()
}

func TestKillForMemory(t *testing.T) {
	task := newTestProcess(t)
	k := task.k
	mapStack(t, task)
	if _, err := task.fs.Mem.CopyOut(stack, make([]byte, 8<<12)); err != nil {
		t.Fatal(err)
	}
	if tg := k.KillForMemory(1<<30, false, true); tg != nil {
		t.Errorf("process %d is killed, which has less", tg.PID())
	}
	task.tg.SetOOMScoreAdj(-1000)
	if tg := k.KillForMemory(0, true, true); tg != nil {
		t.Errorf("process %d is killed, which must not be", tg.PID())
	}
	task.tg.SetOOMScoreAdj(0)
	if tg := k.KillForMemory(0, true, false); tg != nil {
		t.Error("the init process is killed, which must be spared")
	}
	if tg := k.KillForMemory(8<<12, false, true); tg != task.tg {
		t.Fatalf("nobody is killed")
	}
	if !task.tg.AnyPending(bit(int32(unix.SIGKILL))) && !task.tg.groupExit {
		t.Error("it has no SIGKILL")
	}
}
