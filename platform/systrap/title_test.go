//go:build amd64

package systrap

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"casemate/platform"
)

// The host's list of processes shows a stub as it is told, while the application waits in the
// sentry and while it runs, and what is too long is cut.
func TestTitle(t *testing.T) {
	p := open(t)
	shown := func(pid int) (name, line string) {
		t.Helper()
		comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		if err != nil {
			t.Fatal(err)
		}
		cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSuffix(string(comm), "\n"), strings.TrimRight(string(cmdline), "\x00")
	}
	if name, line := shown(p.template.t.proc.pid); name != "stub" || line != "runsc stub" {
		t.Errorf("the template is %q %q", name, line)
	}
	text := new(code)
	loop := text.here()
	text.jmp(loop)
	tk := newGuest(t, p, text).newTask()
	tk.start(tk.g.as)
	for _, c := range []struct{ name, line string }{
		{"sh", "sh -c 'sleep 1000'"},
		{"worker", "nginx: worker process"},
		{"a name that is too long", strings.Repeat("x", 5000)},
		{"", ""},
	} {
		pid := tk.g.as.(platform.Titled).SetTitle(c.name, c.line)
		name, line := shown(pid)
		if want := c.name[:min(len(c.name), 15)]; name != want {
			t.Errorf("name %q, not %q", name, want)
		}
		if want := c.line[:min(len(c.line), titleSize-2-titleArgs)]; line != want {
			t.Errorf("command line of %d bytes, not %d: %.40q", len(line), len(want), line)
		}
	}
	tk.g.as.(*space).proc.kill()
	tk.wait()
	if pid := tk.g.as.(platform.Titled).SetTitle("x", "y"); pid != 0 {
		t.Errorf("a dead process is %d", pid)
	}
	healthy(t, p)
}
