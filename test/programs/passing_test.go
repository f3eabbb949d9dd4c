package programs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// TestExitCodes checks that runsc ends with the program's exit code, or with 128 and
// the signal that has killed it.
func TestExitCodes(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		for script, want := range map[string]int{
			"exit 0": 0, "exit 1": 1, "exit 255": 255,
			"sh -c 'kill -KILL $$'; exit $?": 128 + 9,
			"exec /bin/busybox nosuchapplet": 127,
		} {
			s := newSite(t, rt.path)
			rt.path = s.runsc
			got, err := rt.run(s.bundle(t, bundle.Spec([]string{"/bin/sh", "-c", script})), faultLimit)
			if err != nil {
				t.Errorf("%q %v", script, err)
			} else if got.code != want {
				t.Errorf("%q: ended with %d, want %d; it said %q", script, got.code, want, got.output)
			}
		}
	})
}

// TestStandardInput checks that the program reads its standard input to the end.
func TestStandardInput(t *testing.T) {
	input := strings.Repeat("0123456789abcdef", 100_000)
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		rt.path = s.runsc
		ctx, cancel := context.WithTimeout(context.Background(), faultLimit)
		defer cancel()
		cmd := rt.command(ctx, s.bundle(t, bundle.Spec([]string{"/bin/sh", "-c", "cat; echo end >&2"})), newID())
		cmd.Stdin = strings.NewReader(input)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || out.String() != input || errs.String() != "end\n" {
			t.Errorf("%v, %d bytes of %d, %q", err, out.Len(), len(input), errs.String())
		}
		s.check(t)
	})
}

// TestSignals checks that signals to runsc reach the program.
func TestSignals(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, `for s in HUP USR1 USR2 TERM; do trap "echo $s" $s; done; trap 'echo INT; exit 9' INT; echo ready; while :; do sleep 0.01; done`)
		for _, sig := range []unix.Signal{unix.SIGHUP, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM} {
			must(t, v.cmd.Process.Signal(sig))
			line, err := v.stdout.ReadString('\n')
			if want := strings.TrimPrefix(unix.SignalName(sig), "SIG") + "\n"; line != want {
				t.Errorf("sent %v, has said %q (%v)", sig, line, err)
			}
		}
		must(t, v.cmd.Process.Signal(unix.SIGINT))
		if said, code := v.end(t); said != "INT\n" || code != 9 {
			t.Errorf("sent SIGINT: said %q, ended with %d", said, code)
		}
		s.check(t)
	})
}

// TestTerminal runs a shell on a terminal: what is typed reaches it, the window's size
// does, at first and when it changes, and ^C and ^Z.
func TestTerminal(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		spec := bundle.Spec([]string{"/bin/bash", "--norc", "--noprofile", "--noediting", "-i"})
		process := spec["process"].(object)
		process["terminal"] = true
		process["env"] = append(process["env"].([]string), "PS1=> ", "TERM=dumb", "HISTFILE=")
		dir := debianBundle(t, spec)
		master, slave := openTerminal(t)
		defer master.Close()
		setSize(t, master, 31, 97)
		ctx, cancel := context.WithTimeout(context.Background(), faultLimit)
		defer cancel()
		cmd := rt.command(ctx, dir, newID())
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
		must(t, cmd.Start())
		slave.Close()
		time.AfterFunc(faultLimit, func() { master.Close() })

		var seen strings.Builder
		until := func(text string) string {
			t.Helper()
			from := seen.Len()
			var b [1]byte
			for !strings.HasSuffix(seen.String()[from:], text) {
				if _, err := master.Read(b[:]); err != nil {
					cancel()
					cmd.Wait()
					t.Fatalf("no %q: %v after %q", text, err, seen.String())
				}
				seen.Write(b[:])
			}
			return seen.String()[from:]
		}
		typed := func(text string) {
			t.Helper()
			_, err := io.WriteString(master, text)
			must(t, err)
		}
		says := func(command, want string) {
			t.Helper()
			typed(command + "\n")
			until(command + "\r\n")
			if got := strings.TrimSuffix(until("> "), "> "); got != want {
				t.Errorf("%s: said %q, want %q", command, got, want)
			}
		}
		until("> ")
		says("echo $((6 * 7))", "42\r\n")
		says("stty size", "31 97\r\n")
		setSize(t, master, 20, 50)
		must(t, cmd.Process.Signal(unix.SIGWINCH))
		says("until [ \"$(stty size)\" = '20 50' ]; do :; done; stty size", "20 50\r\n")
		says("test -t 0 && test -t 1 && test -t 2 && echo terminals", "terminals\r\n")
		says("ls -l /dev/tty /dev/console | cut -c1", "c\r\nc\r\n")
		typed("sh -c 'echo started; exec sleep 1000'\n")
		until("started\r\n")
		typed("\x03")
		until("^C")
		until("> ")
		says("echo $?", "130\r\n")
		typed("cat\n")
		until("cat\r\n")
		typed("line\n")
		until("line\r\nline\r\n")
		typed("\x1a")
		until("Stopped")
		until("> ")
		typed("fg\n")
		until("cat\r\n")
		typed("\x04")
		until("> ")
		typed("exit 5\n")
		io.Copy(io.Discard, master)
		cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != 5 {
			t.Errorf("ended with %d, want 5: %q", code, seen.String())
		}
	})
}

// openTerminal makes a pseudo-terminal of the host.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	fd := int(master.Fd())
	must(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	must(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	return master, slave
}

func setSize(t *testing.T, terminal *os.File, rows, cols uint16) {
	t.Helper()
	must(t, unix.IoctlSetWinsize(int(terminal.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: cols}))
}
