package kernel

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestMaxTasks(t *testing.T) {
	task := newTestProcess(t)
	task.k.maxTasks = 3
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

func TestKillForMemory(t *testing.T) {
	task := newTestProcess(t)
	k := task.k
	mapStack(t, task)
	if _, err := task.fs.Mem.CopyOut(stack, make([]byte, 8<<12)); err != nil {
		t.Fatal(err)
	}
	if tg := k.KillForMemory(1<<30, false); tg != nil {
		t.Errorf("process %d is killed, which has less", tg.PID())
	}
	task.tg.SetOOMScoreAdj(-1000)
	if tg := k.KillForMemory(0, true); tg != nil {
		t.Errorf("process %d is killed, which must not be", tg.PID())
	}
	task.tg.SetOOMScoreAdj(0)
	if tg := k.KillForMemory(8<<12, false); tg != task.tg {
		t.Fatalf("nobody is killed")
	}
	if !task.tg.AnyPending(bit(int32(unix.SIGKILL))) && !task.tg.groupExit {
		t.Error("it has no SIGKILL")
	}
}
