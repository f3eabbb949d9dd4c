package ptrace

import (
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStubCallsDocumented compares what the filter of stubs allows with docs/design.md.
func TestStubCallsDocumented(t *testing.T) {
	names := map[uint32]string{
		unix.SYS_MMAP: "mmap", unix.SYS_MUNMAP: "munmap", unix.SYS_MPROTECT: "mprotect",
		unix.SYS_CLONE: "clone", unix.SYS_PAUSE: "pause", unix.SYS_EXIT: "exit",
	}
	var list []string
	for _, nr := range stubCalls {
		list = append(list, names[nr]+"*") // from the stub page only
	}
	slices.Sort(list)
	want := "    stub, ptrace: " + strings.Join(list, " ") + "\n"
	text, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/design.md lacks the line %q", want)
	}
}
