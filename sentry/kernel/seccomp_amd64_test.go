package kernel

import (
	"testing"

	"golang.org/x/sys/unix"

	"casemate/platform"
)

func TestSeccomp(t *testing.T) {
	task := newTestProcess(t)
	if _, err := task.AddSeccompFilter(errnoFor(t, unix.SYS_GETPID, uint32(unix.EPERM)), false); err != nil {
		t.Fatal(err)
	}
	if v, _ := call(task, unix.SYS_GETPID); v != errnoValue(unix.EPERM) {
		t.Errorf("getpid gives %#x, want EPERM", v)
	}
	if v, _ := call(task, unix.SYS_READ); v != errnoValue(unix.ENOSYS) {
		t.Errorf("a call that is allowed gives %#x", v)
	}
	// The stricter of two filters counts, whichever is the newer.
	allow, _ := NewSeccompFilter([]unix.SockFilter{stmt(bpfRet|bpfK, seccompAllow)}, false)
	if _, err := task.AddSeccompFilter(allow, false); err != nil {
		t.Fatal(err)
	}
	if v, _ := call(task, unix.SYS_GETPID); v != errnoValue(unix.EPERM) {
		t.Errorf("getpid gives %#x under two filters, want EPERM", v)
	}
	o := sibling(t, task)
	if v, _ := call(o, unix.SYS_GETPID); v != errnoValue(unix.EPERM) {
		t.Errorf("getpid in a new thread gives %#x, want EPERM", v)
	}
	kill, _ := NewSeccompFilter([]unix.SockFilter{stmt(bpfRet|bpfK, seccompKillProcess)}, false)
	if _, err := o.AddSeccompFilter(kill, true); err != nil {
		t.Fatal(err)
	}
	if _, d := call(o, unix.SYS_GETPID); d != platform.Exit {
		t.Errorf("disposition %v", d)
	}
	if d := task.HandleInterrupt(task.ctx); d != platform.Exit {
		t.Errorf("the other thread lives: %v", d)
	}
	if s := task.tg.ExitStatus(); s != WaitSignaled(int32(unix.SIGSYS)) {
		t.Errorf("status %#x, want SIGSYS", s)
	}
}
