//go:build amd64

package systrap

import (
	"testing"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// fullState are the calls that the tests' sentry takes with the full state.
var fullState = []uintptr{
	unix.SYS_MMAP, unix.SYS_MUNMAP, unix.SYS_MPROTECT, unix.SYS_CLONE, unix.SYS_FORK,
	unix.SYS_EXECVE, unix.SYS_RT_SIGRETURN, unix.SYS_ARCH_PRCTL,
}

func open(t testing.TB) *Platform {
	t.Helper()
	p, err := Open(platform.Options{FullStateSyscalls: fullState, Log: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p.(*Platform)
}

func TestOpen(t *testing.T) { open(t) }
