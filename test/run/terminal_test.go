package run

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A terminal is a pseudoterminal of the host with a command in its foreground.
type terminal struct {
	*running
	master *os.File
}

// startTerminal starts cmd in a session of its own on a new terminal.
func startTerminal(t *testing.T, cmd *exec.Cmd, rows, cols uint16) *terminal {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close() })
	must(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	must(t, err)
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	defer slave.Close()
	term := &terminal{running: &running{t: t, cmd: cmd, stdin: master}, master: master}
	term.resize(rows, cols)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	must(t, cmd.Start())
	go io.Copy(&term.outs, master) // ends with EIO when all have closed the slave
	return term
}

func (term *terminal) resize(rows, cols uint16) {
	term.t.Helper()
	must(term.t, unix.IoctlSetWinsize(int(term.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}))
}

func (term *terminal) typeText(text string) {
	term.t.Helper()
	_, err := term.master.WriteString(text)
	must(term.t, err)
}

// terminalScript asks for one thing after another.
const terminalScript = `tty; test -t 0 && test -t 1 && test -t 2 && echo all; stty size; ls -l /dev/console | cut -c1; trap 'stty size; echo resized' WINCH; trap 'echo caught' INT
echo ready; while ! read x; do :; done; echo "got $x"; sleep 100; echo "interrupted $?"; stty -echo; echo quiet; read y; echo "read $y"; exit 7`

func TestTerminal(t *testing.T) {
	for _, rt := range runscs(t) {
		t.Run(rt.name, func(t *testing.T) {
			b := newBundle(t, terminalScript)
			b.spec.Process.Terminal = true
			b.write(t)
			term := startTerminal(t, rt.commandOf(t, b, newID()), 33, 101)
			term.waitFor("ready\r\n")
			if want := "/dev/pts/0\r\nall\r\n33 101\r\nc\r\nready\r\n"; term.out() != want {
				t.Errorf("%q, want %q", term.out(), want)
			}
			term.resize(44, 102)
			must(t, term.cmd.Process.Signal(unix.SIGWINCH))
			term.waitFor("44 102\r\nresized\r\n")
			term.typeText("a wordx\x7f\n")
			term.waitFor("got a word\r\n")
			term.typeText("\x03")
			term.waitFor("caught\r\ninterrupted 130\r\nquiet\r\n")
			term.typeText("unseen\n")
			got := term.wait()
			if got.code != 7 {
				t.Errorf("exit code %d", got.code)
			}
			waitUntil(t, "last line", func() bool { return strings.HasSuffix(term.out(), "read unseen\r\n") })
			if strings.Contains(term.out(), "quiet\r\nunseen") {
				t.Errorf("echo without ECHO: %q", term.out())
			}
		})
	}
}

// TestTerminalRestored checks that the terminal is as before after the end.
func TestTerminalRestored(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "stty raw -echo; exit 3")
	b.spec.Process.Terminal = true
	b.write(t)
	cmd := exec.Command("sh", "-c", `stty -a >before; "$@"; echo code $?; stty -a >after; cmp before after && echo same`, "sh")
	run := rt.commandOf(t, b, newID())
	cmd.Args = append(cmd.Args, run.Args...)
	cmd.Dir = b.dir
	term := startTerminal(t, cmd, 24, 80)
	term.waitFor("code 3\r\n")
	term.waitFor("same\r\n")
	term.wait()
}

func TestTerminalWithoutOne(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "echo ran")
	b.spec.Process.Terminal = true
	cmd := func() *exec.Cmd {
		b.write(t)
		c := rt.commandOf(t, b, newID())
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		return c
	}()
	if got := finish(t, cmd); got.code != 1 || got.out != "" || got.err == "" {
		t.Error(got)
	}
}

func TestDoTerminal(t *testing.T) {
	for _, rt := range runscs(t) {
		cmd := exec.Command(rt.path, append(rt.flags, "do", "sh", "-c", "tty; stty size; echo ready; read x; echo got $x; exit 9")...)
		term := startTerminal(t, cmd, 11, 22)
		term.waitFor("ready\r\n")
		term.typeText("abc\n")
		if got := term.wait(); got.code != 9 {
			t.Errorf("%s: exit code %d, output %q", rt.name, got.code, term.out())
		}
		waitUntil(t, "last line", func() bool { return strings.HasSuffix(term.out(), "got abc\r\n") })
		if !strings.HasPrefix(term.out(), "/dev/pts/0\r\n11 22\r\n") {
			t.Errorf("%s: %q", rt.name, term.out())
		}
	}
}
