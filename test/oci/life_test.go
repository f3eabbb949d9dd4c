package oci

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// expect runs a script with runsc and compares what it prints.
func (p *place) expect(t *testing.T, text, want string) {
	t.Helper()
	want = fmt.Sprintf("standard output:\n%s\nstandard error:\n\nexit code 0\n", want)
	if got := p.script(t, "runsc", runscPath(t), text); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestPoststart(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "script", "sleep 1000", func(s bundle.Object) { s["hooks"] = bundle.Object{"poststart": hook(p.dir, "poststart")} })
	p.expect(t, `up $N script; ls hooks 2>/dev/null; rt start $N; cat hooks`, "poststart running\n")
}

func TestWait(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "script", "while ! test -e /tmp/now; do sleep 0.1; done; exit 6", nil)
	p.expect(t, `run $N script; rt wait $N >w & sleep 0.3; rt exec $N touch /tmp/now; wait; cat w`, `{"id":"NAME","exitStatus":6}`+"\n")
}

// TestDebug looks into a sandbox that runs.
func TestDebug(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "sleep", "exec sleep 1000", nil)
	p.expect(t, `run $N sleep; sleeps() { rt debug --ps $N | grep -q sleep; }; eventually sleeps; rt debug --stacks $N | grep -c '^goroutine 1 '; rt debug --ps $N | tr '\t' ' '; rt debug --log-level nonsense $N >/dev/null 2>&1; echo $?; rt usage $N | grep -c '"usage"'; rt events --stats $N | grep -c '"type":"stats"'`,
		"1\n1 0 sleep\n1\n1\n1\n")
}

// TestProfile makes profiles of a sandbox, which go tool pprof can read.
func TestProfile(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "busy", "while :; do cat /proc/self/status >/dev/null; done", nil)
	p.expect(t, `run $N busy; rt debug --duration 1s --profile-cpu cpu --profile-heap heap $N; status $N
		go tool pprof -top cpu 2>/dev/null | grep -c '^Type: cpu'; go tool pprof -sample_index=inuse_space -top heap 2>/dev/null | grep -c '^Type: inuse_space'; rt debug --profile-heap nothing/here $N 2>/dev/null; echo $?`, "running\n1\n1\n1\n")
}

// TestConsoleSocket has a container's terminal, and that of another process in it, at the ends
// that came over a socket.
func TestConsoleSocket(t *testing.T) {
	for _, name := range []string{"runc", "runsc"} {
		t.Run(name, func(t *testing.T) { testConsoleSocket(t, name) })
	}
}

func testConsoleSocket(t *testing.T, name string) {
	path := name
	if name == "runsc" {
		path = runscPath(t)
	}
	p := newPlace(t)
	p.bundle(t, "tty", `trap 'stty size; echo resized' WINCH; tty; stty size; while test -z "$line"; do read line; done; echo "got $line"; while ! test -e /tmp/end; do sleep 0.1; done; exit 4`,
		func(s bundle.Object) { s["process"].(bundle.Object)["terminal"] = true })
	socket := filepath.Join(p.dir, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	must(t, err)
	defer listener.Close()
	id := fmt.Sprintf("tty-%d", os.Getpid())
	rt := func(args ...string) *exec.Cmd {
		return exec.Command(path, append([]string{"--root", p.state()}, args...)...)
	}
	do := func(args ...string) *os.File {
		t.Helper()
		received := make(chan *os.File, 1)
		go func() { received <- receiveTerminal(t, listener) }()
		if out, err := rt(args...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v: %s", args, err, out)
		}
		return <-received
	}
	defer rt("delete", "--force", id).Run()
	master := do("create", "--bundle", filepath.Join(p.dir, "tty"), "--console-socket", socket, id)
	defer master.Close()
	screen := watch(master)
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 44}))
	if out, err := rt("start", id).CombinedOutput(); err != nil {
		t.Fatalf("start: %v: %s", err, out)
	}
	screen.waitFor(t, "33 44\r\n")
	must(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 55, Col: 66}))
	screen.waitFor(t, "55 66\r\nresized\r\n")
	master.WriteString("typed\n")
	screen.waitFor(t, "typed\r\n")
	screen.waitFor(t, "got typed\r\n")

	other := do("exec", "--detach", "--tty", "--console-socket", socket, "--pid-file", filepath.Join(p.dir, "pid"), id, "sh", "-c",
		`trap 'stty size; exit' WINCH; test -t 0 && echo ready; while :; do sleep 0.1; done`)
	defer other.Close()
	second := watch(other)
	second.waitFor(t, "ready\r\n")
	must(t, unix.IoctlSetWinsize(int(other.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 77, Col: 88}))
	second.waitFor(t, "77 88\r\n")
	if out, err := rt("exec", id, "touch", "/tmp/end").CombinedOutput(); err != nil {
		t.Fatalf("exec: %v: %s", err, out)
	}
	screen.end(t)
	second.end(t)
}

func receiveTerminal(t *testing.T, l *net.UnixListener) *os.File {
	conn, err := l.AcceptUnix()
	if err != nil {
		t.Error(err)
		return nil
	}
	defer conn.Close()
	name, oob := make([]byte, 4096), make([]byte, unix.CmsgSpace(4))
	n, oobn, _, _, err := conn.ReadMsgUnix(name, oob)
	if err != nil || n == 0 {
		t.Errorf("receiving the terminal: %d bytes, %v", n, err)
		return nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil || len(msgs) != 1 {
		t.Errorf("receiving the terminal: %v", err)
		return nil
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil {
		t.Error(err)
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "terminal")
}

// A screen is what a terminal has shown.
type screen struct {
	mu   sync.Mutex
	text string
	done chan struct{}
}

func watch(terminal *os.File) *screen {
	s := &screen{done: make(chan struct{})}
	go func() {
		defer close(s.done)
		buf := make([]byte, 1024)
		for {
			n, err := terminal.Read(buf)
			s.mu.Lock()
			s.text += string(buf[:n])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *screen) waitFor(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		s.mu.Lock()
		shown := s.text
		s.mu.Unlock()
		if strings.Contains(shown, text) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the terminal shows %q, not %q", shown, text)
		}
	}
}

// end waits for the other end to be closed.
func (s *screen) end(t *testing.T) {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		t.Error("the terminal is open still")
	}
}

// TestPod has two further containers in the sandbox of a first one, as containerd's and
// CRI-O's annotations ask for.
func TestPod(t *testing.T) {
	for _, a := range [][3]string{
		{"io.kubernetes.cri.container-type", "io.kubernetes.cri.sandbox-id", "containerd"},
		{"io.kubernetes.cri-o.ContainerType", "io.kubernetes.cri-o.SandboxID", "cri-o"},
	} {
		t.Run(a[2], func(t *testing.T) {
			p := newPlace(t)
			pod := p.id("runsc")
			annotate := func(kind string) func(bundle.Object) {
				return func(s bundle.Object) {
					s["annotations"] = map[string]string{a[0]: kind, a[1]: pod}
					if kind == "container" {
						s["hostname"] = "other"
						s["linux"].(bundle.Object)["namespaces"] = []bundle.Object{{"type": "pid"}, {"type": "mount"},
							{"type": "ipc", "path": "/proc/1/ns/ipc"}, {"type": "network", "path": "/proc/1/ns/net"}, {"type": "uts", "path": "/proc/1/ns/uts"}}
					}
				}
			}
			p.bundle(t, "pause", "exec sleep 1000", annotate("sandbox"))
			p.bundle(t, "one", "echo $$ one; hostname; exec sleep 1001", annotate("container"))
			p.bundle(t, "two", "sleep 0.5; exit 9", annotate("container"))
			p.expect(t, `run $N pause; run $N-1 one; run $N-2 two
				rt list -q; rt ps $N-1 | grep -c sleep; rt exec $N-1 ps | grep -c sleep; rt exec $N ps | grep sleep | grep -c 1001
				eventually grep box $N-1.out; cat $N-1.out; rt wait $N-2; becomes stopped $N-2; status $N; status $N-1
				rt exec $N-1 sh -c 'exit 3'; echo $?
				rt kill $N-1 KILL; becomes stopped $N-1; rt delete $N-1; rt delete $N-2; status $N
				run $N-3 one; status $N-3; rt kill $N KILL; becomes stopped $N; becomes stopped $N-3; rt delete $N-3; rt delete $N; rt list -q`,
				"NAME\nNAME-1\nNAME-2\n1\n1\n0\n1 one\nbox\n"+`{"id":"NAME-2","exitStatus":9}`+"\nstopped\nrunning\nrunning\n3\nstopped\nrunning\nrunning\nstopped\nstopped\n")
		})
	}
}

// TestConcurrent has several commands at work on the same few ids. Afterwards nothing is left.
func TestConcurrent(t *testing.T) {
	p, f := newPlace(t), newFamily(t)
	b := p.bundle(t, "sleep", "exec sleep 1000", nil)
	prefix := fmt.Sprintf("concurrent-%d-", os.Getpid())
	rt := func(args ...string) (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := f.run(exec.CommandContext(ctx, runscPath(t), append([]string{"--root", p.state()}, args...)...))
		if ctx.Err() != nil {
			t.Errorf("%v does not end", args)
		}
		return out, err
	}
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			for range 6 {
				id := fmt.Sprintf("%s%d", prefix, rand.N(2))
				verb := [][]string{{"create", "--bundle", b, id}, {"start", id}, {"kill", id, "KILL"}, {"delete", id}, {"delete", "--force", id}, {"state", id}, {"run", "--detach", "--bundle", b, id}, {"exec", id, "true"}}[rand.N(8)]
				rt(verb...) // most fail
			}
		})
	}
	wg.Wait()
	for i := range 2 {
		id := fmt.Sprintf("%s%d", prefix, i)
		if out, err := rt("delete", "--force", id); err != nil {
			t.Errorf("deleting %s: %v: %s", id, err, out)
		}
	}
	p.nothingLeft(t, f, prefix)
}

// nothingLeft sees to it that nothing is left on the host of containers whose ids begin with
// prefix: no process of the family, no state, no mount, no cgroup.
func (p *place) nothingLeft(t *testing.T, f *family, prefix string) {
	t.Helper()
	f.gone(t)
	if entries, _ := os.ReadDir(p.state()); len(entries) > 0 {
		t.Errorf("left in the state directory: %v", entries)
	}
	if left := mounts(t, p.dir); len(left) > 0 {
		t.Errorf("mounts are left: %v", left)
	}
	if left := cgroups(t, prefix); len(left) > 0 {
		t.Errorf("cgroups are left: %v", left)
	}
}

// mounts are the mount points of the host that have to do with a directory.
func mounts(t *testing.T, dir string) (points []string) {
	t.Helper()
	data, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	for line := range strings.Lines(string(data)) {
		if strings.Contains(line, dir) {
			points = append(points, strings.Fields(line)[4])
		}
	}
	return points
}

// cgroups are those of the host whose name begins so.
func cgroups(t *testing.T, prefix string) (found []string) {
	t.Helper()
	err := filepath.WalkDir("/sys/fs/cgroup", func(path string, d os.DirEntry, err error) error {
		if os.IsNotExist(err) {
			return nil // another one's, that has gone since
		}
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), prefix) {
			found = append(found, path)
		}
		return err
	})
	must(t, err)
	return found
}
