// Package dockerd runs a Docker daemon for tests: in a network namespace of its own, below a
// cgroup of its own, with all its files in one directory. Stop says what it has left behind.
//
// It needs root and Debian's packages docker.io, runc and iproute2; DOCKER_BIN may name
// directories that have the programs.
package dockerd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options say how a daemon runs.
type Options struct {
	// Runtimes are the arguments of runsc for each name by which it is a runtime; the
	// daemon has runc besides.
	Runtimes map[string][]string
	// Runsc is the path of the command.
	Runsc string
	// Default is the runtime of containers that name none.
	Default string
}

// A Daemon is one that runs.
type Daemon struct {
	// Dir has all its files; scripts find it in $DIR.
	Dir string
	// Env is the environment in which docker speaks to it.
	Env []string

	options Options
	cmd     *exec.Cmd
	cgroup  string // below each hierarchy's root
}

// starting is how long a daemon may take to answer, stopping to end.
const (
	starting = time.Minute
	stopping = time.Minute
)

// Start starts a daemon and waits until it answers.
func Start(o Options) (*Daemon, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can run a Docker daemon")
	}
	if dirs := os.Getenv("DOCKER_BIN"); dirs != "" {
		os.Setenv("PATH", dirs+":"+os.Getenv("PATH"))
	}
	for _, program := range []string{"dockerd", "docker", "containerd-shim-runc-v2", "runc", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("the tests of Docker need docker.io, runc and iproute2: %w", err)
		}
	}
	// The names of Docker's sockets must not be long.
	dir, err := os.MkdirTemp("/tmp", "casemate-docker")
	if err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, options: o, cgroup: filepath.Base(dir)}
	d.Env = append(os.Environ(), "DOCKER_HOST=unix://"+dir+"/docker.sock", "DOCKER_CONFIG="+dir, "DIR="+dir)
	if err := d.start(); err != nil {
		said, _ := os.ReadFile(d.log())
		return nil, errors.Join(fmt.Errorf("%w; the daemon says: %s", err, said), d.Stop())
	}
	return d, nil
}

func (d *Daemon) log() string { return filepath.Join(d.Dir, "dockerd.log") }

// configure writes the daemon's configuration.
func (d *Daemon) configure() error {
	runtimes := map[string]any{}
	for name, args := range d.options.Runtimes {
		runtimes[name] = map[string]any{"path": d.options.Runsc, "runtimeArgs": args}
	}
	config := map[string]any{"runtimes": runtimes, "bip": "172.30.0.1/16", "cgroup-parent": "/" + d.cgroup, "default-runtime": "runc"}
	if d.options.Default != "" {
		config["default-runtime"] = d.options.Default
	}
	data, err := json.Marshal(config)
	if err != nil {
		return err
	}
	return os.WriteFile(d.Dir+"/daemon.json", data, 0o600)
}

func (d *Daemon) start() error {
	if err := d.configure(); err != nil {
		return err
	}
	log, err := os.Create(d.log())
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command("sh", "-c", `ip link set lo up && exec dockerd --config-file "$DIR/daemon.json" --data-root "$DIR/data" \
		--exec-root "$DIR/exec" --host "unix://$DIR/docker.sock" --pidfile "$DIR/dockerd.pid"`)
	d.cmd.Stdout, d.cmd.Stderr, d.cmd.Env = log, log, d.Env
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := d.cmd.Start(); err != nil {
		d.cmd = nil
		return err
	}
	for deadline := time.Now().Add(starting); ; time.Sleep(100 * time.Millisecond) {
		out, err := d.Docker(nil, "version")
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon does not answer: %s", out)
		}
	}
}

// SetDefault changes the runtime of containers that name none, such as those of docker build.
func (d *Daemon) SetDefault(runtime string) error {
	d.options.Default = runtime
	if err := d.configure(); err != nil {
		return err
	}
	if err := d.cmd.Process.Signal(unix.SIGHUP); err != nil {
		return err
	}
	for deadline := time.Now().Add(starting); ; time.Sleep(20 * time.Millisecond) {
		out, err := d.Docker(nil, "info", "-f", "{{.DefaultRuntime}}")
		if err == nil && strings.TrimSpace(out) == runtime {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon's default runtime does not change: %s", out)
		}
	}
}

// PID is the daemon's process, whose network namespace is the host's as far as containers see.
func (d *Daemon) PID() int { return d.cmd.Process.Pid }

// Docker runs docker with arguments and returns what it prints.
func (d *Daemon) Docker(stdin io.Reader, args ...string) (string, error) {
	cmd := exec.Command("docker", args...)
	cmd.Env, cmd.Stdin = d.Env, stdin
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("docker %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// Stop removes all containers, ends the daemon and removes its files. The error says what the
// containers have left: processes, mounts, runtimes' state, control groups.
func (d *Daemon) Stop() error {
	var left []error
	if d.cmd != nil {
		if ids, err := d.Docker(nil, "ps", "-aq"); err == nil && ids != "" {
			if _, err := d.Docker(nil, append([]string{"rm", "-f", "-v"}, strings.Fields(ids)...)...); err != nil {
				left = append(left, err)
			}
		}
		left = append(left, d.leftByContainers()...)
		d.cmd.Process.Signal(unix.SIGTERM)
		hard := time.AfterFunc(stopping, func() { d.cmd.Process.Kill() })
		d.cmd.Wait()
		if !hard.Stop() {
			left = append(left, errors.New("dockerd does not end"))
		}
		for _, m := range d.mounts() {
			unix.Unmount(m, unix.MNT_DETACH)
		}
	}
	left = append(left, d.leftByDaemon()...)
	left = append(left, os.RemoveAll(d.Dir))
	return errors.Join(left...)
}
