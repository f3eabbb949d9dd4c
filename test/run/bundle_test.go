package run

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	command "casemate/test/bundle"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A runtime is an OCI runtime under test.
type runtime struct {
	name  string
	path  string
	flags []string
}

var platforms = []string{"systrap", "ptrace"}

// runscPath is the command under test.
func runscPath(t *testing.T) string {
	t.Helper()
	path, err := command.Runsc()
	must(t, err)
	return path
}

// runscs are runsc on each platform.
func runscs(t *testing.T) (rs []runtime) {
	path := runscPath(t)
	for _, p := range platforms {
		rs = append(rs, runtime{p, path, []string{"--platform=" + p}})
	}
	return rs
}

func runc(t *testing.T) runtime {
	t.Helper()
	path, err := exec.LookPath("runc")
	if err != nil {
		t.Fatalf("runc is what runsc is compared with: %v", err)
	}
	return runtime{name: "runc", path: path}
}

// A bundle is an OCI bundle in a directory of its own.
type bundle struct {
	dir  string
	spec *specs.Spec
}

func (b *bundle) rootfs(parts ...string) string {
	return filepath.Join(append([]string{b.dir, "rootfs"}, parts...)...)
}

// defaultCapabilities are those that Docker grants.
var defaultCapabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_MKNOD",
	"CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

func mount(destination, kind, source string, options ...string) specs.Mount {
	return specs.Mount{Destination: destination, Type: kind, Source: source, Options: options}
}

// newBundle makes a bundle whose root file system is busybox and which runs script.
func newBundle(t *testing.T, script string) *bundle {
	t.Helper()
	dir, err := os.MkdirTemp("", "runsc-run")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	b := &bundle{dir: dir}
	must(t, command.Busybox(b.rootfs()))
	must(t, os.WriteFile(b.rootfs("etc/passwd"), []byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(b.rootfs("etc/group"), []byte("root:x:0:\n"), 0o644))
	b.spec = &specs.Spec{
		Version: "1.0.2",
		Process: &specs.Process{
			Args:         []string{"/bin/sh", "-c", script},
			Cwd:          "/",
			Env:          []string{"PATH=/bin", "HOME=/root"},
			Capabilities: &specs.LinuxCapabilities{Bounding: defaultCapabilities, Effective: defaultCapabilities, Permitted: defaultCapabilities},
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
		},
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "box",
		Mounts: []specs.Mount{
			mount("/proc", "proc", "proc"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: "pid"}, {Type: "ipc"}, {Type: "uts"}, {Type: "mount"}, {Type: "network"},
		}},
	}
	return b
}

func (b *bundle) write(t *testing.T) {
	t.Helper()
	data, err := json.MarshalIndent(b.spec, "", " ")
	must(t, err)
	b.writeRaw(t, data)
}

func (b *bundle) writeRaw(t *testing.T, config []byte) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(b.dir, "config.json"), config, 0o644))
}

// A result is how a container ended.
type result struct {
	out, err string
	code     int
}

func (r result) String() string {
	return fmt.Sprintf("exit code %d\nstandard output:\n%s\nstandard error:\n%s", r.code, r.out, r.err)
}

var containers atomic.Int64

func newID() string { return fmt.Sprintf("run-%d-%d", os.Getpid(), containers.Add(1)) }

// timeout is how long a container may run.
const timeout = 30 * time.Second

// command prepares to run the bundle.
func (rt runtime) command(ctx context.Context, b *bundle, flags ...string) *exec.Cmd {
	return rt.runtimeCommand(ctx, b, append(flags, "run", "--bundle", b.dir, newID())...)
}

// commandOf prepares to run the bundle, which is written, as the container id; it is
// killed at the end of the test.
func (rt runtime) commandOf(t *testing.T, b *bundle, id string, flags ...string) *exec.Cmd {
	t.Helper()
	return rt.runtimeCommand(t.Context(), b, append(flags, "run", "--bundle", b.dir, id)...)
}

// runtimeCommand prepares any command of the runtime; its state is below the bundle.
func (rt runtime) runtimeCommand(ctx context.Context, b *bundle, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, rt.path, slices.Concat([]string{"--root", filepath.Join(b.dir, "state")}, rt.flags, args)...)
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// run writes the bundle's config.json and runs it with stdin closed.
func (rt runtime) run(t *testing.T, b *bundle, flags ...string) result {
	t.Helper()
	b.write(t)
	return rt.runWritten(t, b, flags...)
}

func (rt runtime) runWritten(t *testing.T, b *bundle, flags ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return finish(t, rt.command(ctx, b, flags...))
}

// finish runs a command to its end.
func finish(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	var out, errs bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%v: %v: %s", cmd.Args, err, errs.String())
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}
