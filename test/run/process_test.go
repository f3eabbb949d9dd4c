package run

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSignals sends runsc run the signals that reach the container, whose program
// names each.
func TestSignals(t *testing.T) {
	signals := []unix.Signal{
		unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGALRM, unix.SIGTERM, unix.SIGCONT, unix.SIGWINCH,
		unix.SIGXCPU, unix.SIGIO, unix.Signal(35), unix.Signal(64),
	}
	var script strings.Builder
	for _, s := range signals {
		if s != unix.SIGWINCH {
			fmt.Fprintf(&script, "trap 'echo got %d' %d; ", s, s)
		}
	}
	script.WriteString("echo ready; while :; do sleep 0.05; done")
	for _, rt := range runscs(t) {
		t.Run(rt.name, func(t *testing.T) {
			b := newBundle(t, script.String())
			b.write(t)
			id := newID()
			c := start(t, rt.commandOf(t, b, id))
			c.waitFor("ready")
			for _, s := range signals {
				must(t, c.cmd.Process.Signal(s))
				if s != unix.SIGWINCH { // which is about a terminal
					c.waitFor(fmt.Sprintf("got %d\n", s))
				}
			}
			if got := finish(t, rt.runtimeCommand(t.Context(), b, "kill", id, "KILL")); got.code != 0 {
				t.Fatal(got)
			}
			if got := c.wait(); got.code != 137 {
				t.Error(got)
			}
		})
	}
}

// TestSignalKills checks the exit codes of what a signal ends.
func TestSignalKills(t *testing.T) {
	for _, rt := range append(runscs(t), runc(t)) {
		for _, s := range []unix.Signal{unix.SIGTERM, unix.SIGKILL, unix.SIGSEGV, unix.SIGABRT} {
			b := newBundle(t, fmt.Sprintf("sh -c 'kill -%d $$'; exit $?", s))
			if got := rt.run(t, b); got.code != 128+int(s) {
				t.Errorf("%s: %v: exit code %d", rt.name, s, got.code)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	rt := runscs(t)[0]
	for _, code := range []int{0, 1, 2, 64, 125, 126, 127, 128, 137, 254, 255} {
		b := newBundle(t, fmt.Sprintf("exit %d", code))
		if got := rt.run(t, b); got.code != code || got.err != "" {
			t.Errorf("want %d: %v", code, got)
		}
	}
}

func TestStandardInput(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, "cat; echo end")
		b.write(t)
		c := start(t, rt.commandOf(t, b, newID()))
		for i := range 3 {
			fmt.Fprintf(c.stdin, "line %d\n", i)
			c.waitFor(fmt.Sprintf("line %d\n", i))
		}
		c.stdin.Close()
		if got := c.wait(); got.code != 0 || got.out != "line 0\nline 1\nline 2\nend\n" {
			t.Errorf("%s: %v", rt.name, got)
		}
	}
}

// TestClosedOutput checks that writing to a pipe that nobody reads is SIGPIPE inside,
// and does not end anything else.
func TestClosedOutput(t *testing.T) {
	for _, rt := range append(runscs(t), runc(t)) {
		b := newBundle(t, "trap '' PIPE; sh -c 'trap - PIPE; yes'; echo $? >&2; exit 5")
		b.write(t)
		cmd := rt.commandOf(t, b, newID())
		r, w, err := os.Pipe()
		must(t, err)
		cmd.Stdout = w
		c := &running{t: t, cmd: cmd}
		cmd.Stderr = &c.errs
		must(t, cmd.Start())
		w.Close()
		r.Read(make([]byte, 1))
		r.Close()
		if got := c.wait(); got.code != 5 {
			t.Errorf("%s: %v", rt.name, got)
		}
	}
}

func TestPidFile(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, "echo ready; read x")
		b.write(t)
		file := filepath.Join(b.dir, "pid")
		cmd := rt.runtimeCommand(t.Context(), b, "run", "--bundle", b.dir, "--pid-file", file, newID())
		c := start(t, cmd)
		c.waitFor("ready")
		data, err := os.ReadFile(file)
		must(t, err)
		pid, err := strconv.Atoi(string(data))
		must(t, err)
		if err := unix.Kill(pid, 0); err != nil {
			t.Errorf("%s: process %d of the pid file: %v", rt.name, pid, err)
		}
		fmt.Fprintln(c.stdin)
		c.wait()
	}
}

// TestSpecThenRun uses the configuration that spec writes.
func TestSpecThenRun(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "")
	spec := func(args ...string) result {
		cmd := rt.runtimeCommand(t.Context(), b, append([]string{"spec", "--bundle", b.dir}, args...)...)
		return finish(t, cmd)
	}
	if got := spec("--", "sh", "-c", "id -u; touch /x; hostname"); got.code != 0 {
		t.Fatal(got)
	}
	if got := rt.runWritten(t, b); got.code != 0 || got.out != "0\nrunsc\n" || !strings.Contains(got.err, "Read-only file system") {
		t.Errorf("run: %v", got)
	}
	if got := spec(); got.code != 1 || !strings.Contains(got.err, "config.json exists") {
		t.Errorf("a second spec: %v", got)
	}
	must(t, os.Remove(filepath.Join(b.dir, "config.json")))
	if got := spec(); got.code != 0 {
		t.Fatal(got)
	}
	term := startTerminal(t, rt.commandOf(t, b, newID()), 24, 80)
	term.typeText("echo $((40+2)); exit 4\n")
	if got := term.wait(); got.code != 4 {
		t.Errorf("exit code %d", got.code)
	}
	waitUntil(t, "output", func() bool { return strings.Contains(term.out(), "42\r\n") })
}
