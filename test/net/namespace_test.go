package net

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Addresses of the two ends.
const (
	peer4, box4 = "10.9.0.1", "10.9.0.2"
	peer6, box6 = "fd09::1", "fd09::2"
)

// A pair is two network namespaces that a veth joins: the peer, where the host's own
// stack is, and the one that an engine would have prepared for a container.
type pair struct {
	peer, box string // names
	dir       string
}

var pairs atomic.Int64

// run runs a command that must succeed and returns what it prints.
func run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return string(out)
}

// lines runs each line as a command.
func lines(t *testing.T, commands string) {
	t.Helper()
	for l := range strings.Lines(commands) {
		if args := strings.Fields(l); len(args) > 0 {
			run(t, args...)
		}
	}
}

// newPair makes a pair with addresses, routes and, at the box's end, nothing up but what
// CNI plugins bring up.
func newPair(t *testing.T) *pair {
	t.Helper()
	id := fmt.Sprintf("%d-%d", os.Getpid(), pairs.Add(1))
	p := &pair{peer: "peer-" + id, box: "box-" + id}
	dir, err := os.MkdirTemp("", "runsc-net")
	must(t, err)
	p.dir = dir
	t.Cleanup(func() {
		exec.Command("ip", "netns", "del", p.peer).Run()
		exec.Command("ip", "netns", "del", p.box).Run()
		os.RemoveAll(dir)
	})
	setup := `
ip netns add PEER
ip netns add BOX
ip netns exec PEER sysctl -qw net.ipv6.conf.default.accept_dad=0
ip netns exec BOX sysctl -qw net.ipv6.conf.default.accept_dad=0
ip -n PEER link add veth0 type veth peer name eth0 netns BOX
ip -n PEER link set lo up
ip -n BOX link set lo up
ip -n PEER addr add 10.9.0.1/24 brd + dev veth0
ip -n PEER addr add fd09::1/64 dev veth0 nodad
ip -n PEER link set veth0 up
ip -n BOX addr add 10.9.0.2/24 brd + dev eth0
ip -n BOX addr add fd09::2/64 dev eth0 nodad
ip -n BOX link set eth0 up
ip -n BOX route add default via 10.9.0.1
ip -n BOX -6 route add default via fd09::1
`
	lines(t, strings.NewReplacer("PEER", p.peer, "BOX", p.box).Replace(setup))
	return p
}

// atPeer prepares a command in the peer's namespace.
func (p *pair) atPeer(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", p.peer}, args...)...)
}

// serve starts a server at the peer, which ends with the test, and waits until it listens
// on the TCP port, if that is not 0.
func (p *pair) serve(t *testing.T, port int, args ...string) {
	t.Helper()
	cmd := p.atPeer(t.Context(), args...)
	// What a script has started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		err := cmd.Wait() // its context is done
		if t.Failed() {
			t.Logf("%v: %v: %s", args, err, out.String())
		}
	})
	if port != 0 {
		waitFor(t, func() bool {
			out, _ := p.atPeer(t.Context(), "ss", "-Hltn", fmt.Sprintf("sport = %d", port)).Output()
			return len(out) > 0
		})
	}
}

// waitFor waits until f is true.
func waitFor(t *testing.T, f func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it takes too long")
		}
	}
}

var platforms = []string{"systrap", "ptrace"}

// runscPath is the command under test.
func runscPath(t *testing.T) string {
	t.Helper()
	path, err := bundle.Runsc()
	must(t, err)
	return path
}

// A container is one that runs in the box's namespace.
type container struct {
	cmd      *exec.Cmd
	in       io.Closer // its standard input, which is empty
	out, err bytes.Buffer
}

// timeout is how long a container may run.
const timeout = 8 * time.Minute

// start starts a container in the box's namespace over the host's root file system, of
// which nothing changes. The script runs in sh.
func (p *pair) start(t *testing.T, platform, script string, flags ...string) *container {
	t.Helper()
	return p.startWith(t, platform, script, bundle.Capabilities, flags...)
}

// startWith is start with capabilities. Without a namespace, the container has a new one.
func (p *pair) startWith(t *testing.T, platform, script string, capabilities []string, flags ...string) *container {
	t.Helper()
	dir, err := os.MkdirTemp(p.dir, "bundle")
	must(t, err)
	here, err := os.Getwd() // perhaps below /tmp
	must(t, err)
	mounts := []bundle.Object{bundle.Mount("/tmp", "tmpfs", "tmpfs", "mode=1777"), bundle.Mount("/run", "tmpfs", "tmpfs"),
		bundle.Mount(here, "bind", here, "bind", "ro")}
	if _, err := os.Stat("/etc/resolv.conf"); err == nil {
		// The host's name servers are not there: to ask takes seconds.
		none := filepath.Join(dir, "resolv.conf")
		must(t, os.WriteFile(none, []byte("# none\n"), 0o644))
		mounts = append(mounts, bundle.Mount("/etc/resolv.conf", "bind", none, "bind", "ro"))
	}
	spec := bundle.Spec([]string{"/bin/sh", "-c", script}, mounts...)
	spec["root"] = bundle.Object{"path": "/"}
	namespaces := []bundle.Object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}}
	network := bundle.Object{"type": "network"}
	if p.box != "" {
		network["path"] = "/run/netns/" + p.box
	}
	spec["linux"] = bundle.Object{"namespaces": append(namespaces, network)}
	spec["process"].(bundle.Object)["capabilities"] = bundle.Object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities}
	data, err := json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	args := append([]string{"--root", filepath.Join(dir, "state"), "--platform", platform, "--overlay2=root:memory", "--ignore-cgroups"}, flags...)
	c := &container{cmd: exec.CommandContext(ctx, runscPath(t), append(args, "run", "--bundle", dir, "c-"+filepath.Base(dir))...)}
	c.cmd.Stdout, c.cmd.Stderr = &c.out, &c.err
	c.cmd.WaitDelay = 10 * time.Second
	c.in, err = c.cmd.StdinPipe()
	must(t, err)
	must(t, c.cmd.Start())
	return c
}

// end waits for the container, whose exit code must be 0, and returns what it prints.
func (c *container) end(t *testing.T) string {
	t.Helper()
	c.in.Close()
	err := c.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if code := c.cmd.ProcessState.ExitCode(); code != 0 {
		t.Fatalf("exit code %d\nstandard output:\n%s\nstandard error:\n%s", code, c.out.String(), c.err.String())
	}
	return c.out.String()
}

// eachPlatform runs f with a pair of its own for each platform, at once.
func eachPlatform(t *testing.T, f func(t *testing.T, p *pair, platform string)) {
	for _, platform := range platforms {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			f(t, newPair(t), platform)
		})
	}
}
