package programs

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// What takes so long hangs.
const faultLimit = time.Minute

// A fault is a command line or a bundle that cannot work.
type fault struct {
	name    string
	spec    func(spec object)              // breaks the specification
	bundle  func(t *testing.T, dir string) // breaks the bundle
	args    func(dir, id string) []string  // the command's arguments instead of run's
	says    string                         // what the message has
	process func(process object)           // breaks the specification's process
}

func run(dir, id string, flags ...string) []string {
	return append(flags, "--root", stateDir(dir), "run", "--bundle", dir, id)
}

var faults = []fault{
	{name: "broken JSON", says: "config.json", bundle: func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"ociVersion": "1.0.2", "process": {`), 0o644))
	}},
	{name: "JSON of another type", says: "config.json", bundle: func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"process": [1, 2]}`), 0o644))
	}},
	{name: "no config.json", says: "config.json", bundle: func(t *testing.T, dir string) {
		must(t, os.Remove(filepath.Join(dir, "config.json")))
	}},
	{name: "no bundle", says: "/nonexistent", args: func(dir, id string) []string { return run("/nonexistent", id, "--root", stateDir(dir)) }},
	{name: "no root file system", says: "nowhere", spec: func(s object) { s["root"] = object{"path": "nowhere"} }},
	{name: "root file system is a file", says: "config.json", spec: func(s object) { s["root"] = object{"path": "config.json"} }},
	{name: "no process", says: "process", spec: func(s object) { delete(s, "process") }},
	{name: "no root", says: "root", spec: func(s object) { delete(s, "root") }},
	{name: "unknown version", says: "7.0.0", spec: func(s object) { s["ociVersion"] = "7.0.0" }},
	{name: "bind mount of nothing", says: "/nonexistent", spec: func(s object) {
		s["mounts"] = append(s["mounts"].([]object), bundle.Mount("/mnt", "bind", "/nonexistent", "rbind"))
	}},
	{name: "mount of an unknown type", says: "nosuchfs", spec: func(s object) {
		s["mounts"] = append(s["mounts"].([]object), bundle.Mount("/mnt", "nosuchfs", "none"))
	}},
	{name: "no arguments", says: "args", process: func(p object) { p["args"] = []string{} }},
	{name: "missing program", says: "/bin/nonexistent", process: func(p object) { p["args"] = []string{"/bin/nonexistent"} }},
	{name: "missing program of PATH", says: "nonexistent", process: func(p object) { p["args"] = []string{"nonexistent"} }},
	{name: "program is a directory", says: "/etc", process: func(p object) { p["args"] = []string{"/etc"} }},
	{name: "program is not executable", says: "/etc/text", process: func(p object) { p["args"] = []string{"/etc/text"} }, bundle: func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "rootfs/etc/text"), []byte("text"), 0o644))
	}},
	{name: "program of another kind", says: "/etc/noelf", process: func(p object) { p["args"] = []string{"/etc/noelf"} }, bundle: func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "rootfs/etc/noelf"), []byte("\x7fELF nonsense"), 0o755))
	}},
	{name: "interpreter is missing", says: "/etc/script", process: func(p object) { p["args"] = []string{"/etc/script"} }, bundle: func(t *testing.T, dir string) {
		must(t, os.WriteFile(filepath.Join(dir, "rootfs/etc/script"), []byte("#!/bin/gone\n"), 0o755))
	}},
	{name: "working directory is relative", says: "cwd", process: func(p object) { p["cwd"] = "tmp" }},
	{name: "unknown capability", says: "CAP_FLY", process: func(p object) { p["capabilities"] = object{"bounding": []string{"CAP_FLY"}} }},
	{name: "unknown limit", says: "RLIMIT_LUNCH", process: func(p object) {
		p["rlimits"] = []object{{"type": "RLIMIT_LUNCH", "soft": 1, "hard": 1}}
	}},
	{name: "terminal without a terminal", says: "terminal", process: func(p object) { p["terminal"] = true }},
	{name: "unknown flag", says: "no-such-flag", args: func(dir, id string) []string { return run(dir, id, "--no-such-flag") }},
	{name: "unknown flag of run", says: "no-such-flag", args: func(dir, id string) []string {
		return []string{"--root", stateDir(dir), "run", "--no-such-flag", id}
	}},
	{name: "unknown platform", says: "abacus", args: func(dir, id string) []string { return run(dir, id, "--platform=abacus") }},
	{name: "unknown command", says: "juggle", args: func(dir, id string) []string { return []string{"juggle", id} }},
	{name: "no id", says: "id", args: func(dir, id string) []string { return run(dir, id)[:5-1] }},
	{name: "id with a slash", says: "../up", args: func(dir, _ string) []string { return run(dir, "../up") }},
	{name: "id of dots", says: "..", args: func(dir, _ string) []string { return run(dir, "..") }},
	{name: "empty id", says: "id", args: func(dir, _ string) []string { return run(dir, "") }},
	{name: "state directory is a file", says: "config.json", args: func(dir, id string) []string {
		return []string{"--root", filepath.Join(dir, "config.json"), "run", "--bundle", dir, id}
	}},
}

// TestFaults runs what cannot work: each must end soon, with an exit code that is not 0
// and a message that names what is wrong, and leave nothing behind.
func TestFaults(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		for _, f := range faults {
			t.Run(f.name, func(t *testing.T) {
				s := newSite(t, rt.path)
				spec := bundle.Spec([]string{"/bin/echo", "it ran"})
				if f.spec != nil {
					f.spec(spec)
				}
				if f.process != nil {
					f.process(spec["process"].(object))
				}
				dir := s.bundle(t, spec)
				if f.bundle != nil {
					f.bundle(t, dir)
				}
				args := run(dir, newID(), rt.flags...)
				if f.args != nil {
					args = f.args(dir, newID())
				}
				ctx, cancel := context.WithTimeout(context.Background(), faultLimit)
				defer cancel()
				cmd := exec.CommandContext(ctx, s.runsc, args...)
				cmd.WaitDelay = time.Second
				var stdout, stderr bytes.Buffer
				cmd.Stdout, cmd.Stderr = &stdout, &stderr
				cmd.Run()
				if ctx.Err() != nil {
					t.Errorf("has not ended in %v", faultLimit)
				}
				if code := cmd.ProcessState.ExitCode(); code <= 0 {
					t.Errorf("ended with %d", code)
				}
				message := stderr.String()
				if !strings.Contains(message, f.says) {
					t.Errorf("message does not name %q: %q", f.says, message)
				}
				if strings.Contains(message, "goroutine ") || strings.Contains(stdout.String(), "it ran") {
					t.Errorf("crashed or ran: %q %q", stdout.String(), end(message))
				}
				s.check(t)
			})
		}
	})
}

// A victim is a container that runs until it is killed.
type victim struct {
	cmd    *exec.Cmd
	stdout *bufio.Reader
	stderr *bytes.Buffer
	cancel context.CancelFunc
}

// startVictim runs a shell script in a container and returns when it has said "ready".
func startVictim(t *testing.T, s *site, rt runtime, script string) *victim {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), faultLimit)
	rt.path = s.runsc
	v := &victim{cmd: rt.command(ctx, s.bundle(t, bundle.Spec([]string{"/bin/sh", "-c", script})), newID()), stderr: new(bytes.Buffer), cancel: cancel}
	v.cmd.Stderr = v.stderr
	out, err := v.cmd.StdoutPipe()
	must(t, err)
	v.stdout = bufio.NewReader(out)
	must(t, v.cmd.Start())
	line, err := v.stdout.ReadString('\n')
	if line != "ready\n" {
		v.cancel()
		v.cmd.Wait()
		t.Fatalf("does not start: %q, %v, %s", line, err, v.stderr)
	}
	return v
}

// end waits for the end of the container and returns what it said since, and its exit code.
func (v *victim) end(t *testing.T) (said string, code int) {
	t.Helper()
	defer v.cancel()
	rest, _ := io.ReadAll(v.stdout)
	v.cmd.Wait()
	if v.cmd.ProcessState.Sys().(interface{ Signaled() bool }).Signaled() {
		t.Errorf("runsc has not ended by itself; it said %q", v.stderr)
	}
	return string(rest), v.cmd.ProcessState.ExitCode()
}

// find returns the sandbox's processes whose command line is args.
func find(t *testing.T, args string) (pids []int) {
	t.Helper()
	for _, p := range descendants(t) {
		if p.args == args {
			pids = append(pids, p.pid)
		}
	}
	if len(pids) == 0 {
		t.Fatalf("no process %q among %v", args, descendants(t))
	}
	return pids
}

const busy = `echo ready; (while :; do :; done) & sleep 1000 & while echo x >/tmp/file; do /bin/true; done; exit 3`

// TestKillSentry kills the sentry while programs run: runsc ends and says so.
func TestKillSentry(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, busy)
		for _, pid := range find(t, "runsc boot") {
			unix.Kill(pid, unix.SIGKILL)
		}
		if _, code := v.end(t); code != 128+9 {
			t.Errorf("ended with %d, want %d", code, 128+9)
		}
		if !strings.Contains(v.stderr.String(), "killed") {
			t.Errorf("message does not say that the sandbox was killed: %q", v.stderr)
		}
		s.check(t)
	})
}

// TestKillGofer kills the gofer: the program gets an errno where it needs a new file, or
// the sandbox ends with a message.
func TestKillGofer(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, `echo ready; i=0; while echo x >/tmp/file$i; do i=$((i+1)); done; echo failed; exit 3`)
		for _, pid := range find(t, "runsc gofer") {
			unix.Kill(pid, unix.SIGKILL)
		}
		said, code := v.end(t)
		errno := code == 3 && said == "failed\n"
		// The program may have seen the errno just before the sandbox ended.
		died := code != 0 && (said == "" || said == "failed\n") && strings.Contains(v.stderr.String(), "the gofer died")
		if !errno && !died {
			t.Errorf("ended with %d, said %q %q", code, said, v.stderr)
		}
		s.check(t)
	})
}

// TestKillStubs kills the processes that hold the application's memory one after the
// other: at the latest with the last of them the container ends.
func TestKillStubs(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, busy)
		spared := append(find(t, "runsc boot"), append(find(t, "runsc gofer"), v.cmd.Process.Pid)...)
		ended := make(chan int, 1)
		go func() {
			_, code := v.end(t)
			ended <- code
		}()
		for killed := 0; ; {
			select {
			case code := <-ended:
				if killed == 0 || code == 0 {
					t.Errorf("ended with %d after %d kills", code, killed)
				}
				s.check(t)
				return
			case <-time.After(10 * time.Millisecond):
			}
			for _, p := range descendants(t) {
				if !slices.Contains(spared, p.pid) && unix.Kill(p.pid, unix.SIGKILL) == nil {
					killed++
				}
			}
		}
	})
}

// TestKillStub kills the process that holds a program's memory while the program waits
// in a system call: the program dies of SIGKILL, the others go on.
func TestKillStub(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		if rt.name == "ptrace" {
			t.Skip("the tracer of a stub looks after it when the system call returns")
		}
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, `/bin/true; echo ready; sleep 1000; echo status $?; /bin/true && echo works; exit 3`)
		status := make(chan string, 1)
		go func() {
			line, _ := v.stdout.ReadString('\n')
			status <- line
		}()
		// The youngest first: some are kept for later and not missed, and the oldest is the
		// shell's.
		for said := ""; said == ""; {
			select {
			case said = <-status:
				if said != "status 137\n" {
					t.Errorf("said %q", said)
				}
			case <-time.After(20 * time.Millisecond):
				ps := descendants(t)
				unix.Kill(ps[len(ps)-1].pid, unix.SIGKILL)
			}
		}
		if said, code := v.end(t); said != "works\n" || code != 3 {
			t.Errorf("ended with %d, said %q %q", code, said, v.stderr)
		}
		s.check(t)
	})
}

// TestKillRunsc kills the command in the foreground: the sandbox goes with it.
func TestKillRunsc(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		v := startVictim(t, s, rt, busy)
		must(t, v.cmd.Process.Kill())
		io.Copy(io.Discard, v.stdout)
		v.cmd.Wait()
		v.cancel()
		must(t, os.RemoveAll(stateDir(v.cmd.Dir))) // which nobody was left to remove
		s.check(t)
	})
}

// TestHundred runs 100 sandboxes one after another, which must leave nothing behind.
func TestHundred(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		s := newSite(t, rt.path)
		rt.path = s.runsc
		dir := s.bundle(t, bundle.Spec([]string{"/bin/sh", "-c", "echo x >/tmp/file; sleep 1000 & (sleep 1000 &); exit 7"}))
		for i := range 100 {
			got, err := rt.run(dir, faultLimit)
			if err != nil {
				t.Fatalf("sandbox %d %v", i, err)
			}
			if got != (result{"", 7}) {
				t.Fatalf("sandbox %d: %+v", i, got)
			}
		}
		s.check(t)
	})
}
