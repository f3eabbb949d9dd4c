package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"casemate/runsc/bundle"
	"casemate/runsc/container"
	"casemate/runsc/control"
	"casemate/runsc/netns"
	"casemate/runsc/sandbox"
)

// A launch is a container that runs in the foreground, with this process's standard
// descriptors.
type launch struct {
	id       string
	bundle   string
	spec     *specs.Spec
	hostRoot bool // the root is the host's own file system
	pidFile  string
}

// run runs the container to its end and returns the exit code of its process.
func (l *launch) run(a *app) (code int, err error) {
	c, err := container.Create(a.conf.Root, l.id, l.bundle)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, c.Remove()) }()

	args, err := l.sandboxArgs(a, c)
	if err != nil {
		return 0, err
	}
	if err := args.takeNetwork(a); err != nil {
		return 0, err
	}
	if args.DebugLog, err = a.conf.OpenDebugLog("boot", l.id, time.Now().Format("20060102-150405.000000")); err != nil {
		return 0, err
	}
	if args.DebugLog != nil {
		defer args.DebugLog.Close()
	}
	if l.spec.Process.Terminal {
		restore, err := args.takeTerminal()
		if err != nil {
			return 0, err
		}
		defer restore()
	}
	// From here on a signal to this process is one to the container.
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	defer signal.Stop(signals)

	s, err := sandbox.Start(&args.Args)
	args.closeNetwork() // the sandbox has them; here they would only wake us up
	if err != nil {
		return 0, err
	}
	defer s.Destroy()
	c.State.SandboxPID, c.State.GoferPID = s.PID()
	if err := c.Save(); err != nil {
		return 0, err
	}
	reply, err := s.Receive()
	if err != nil {
		return 0, err
	}
	if reply.Started {
		if l.pidFile != "" {
			if err := os.WriteFile(l.pidFile, fmt.Append(nil, c.State.SandboxPID), 0o644); err != nil {
				return 0, fmt.Errorf("writing the pid file: %w", err)
			}
		}
		go forward(s, signals, args.Boot.Terminal)
		if reply, err = s.Receive(); err != nil {
			return 0, err
		}
	}
	if reply.Exited == nil {
		return 0, &startError{reply.Failed, reply.Code}
	}
	return reply.Exited.Status(), nil
}

// A startError is what the sandbox says why the container's process could not
// run. code is the exit code to end with, if not 0.
type startError struct {
	text string
	code int
}

func (e *startError) Error() string { return e.text }

// forward passes signals on to the container until the channel's end, which never
// comes: it ends with the process.
func forward(s *sandbox.Sandbox, signals <-chan os.Signal, terminal bool) {
	for sig := range signals {
		r := control.Request{}
		switch sig {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
			continue
		case unix.SIGWINCH:
			if !terminal {
				continue
			}
			size, err := windowSize()
			if err != nil {
				continue
			}
			r.Resize = &size
		default:
			r.Signal = int(sig.(syscall.Signal))
		}
		if s.Send(&r) != nil {
			return
		}
	}
}

type launchArgs struct {
	sandbox.Args
}

// sandboxArgs works out what the sandbox gets.
func (l *launch) sandboxArgs(a *app, c *container.Container) (*launchArgs, error) {
	spec := l.spec
	args := &launchArgs{sandbox.Args{
		Scratch:  c.Dir(),
		Stdio:    [3]*os.File{os.Stdin, os.Stdout, os.Stderr},
		Rootless: a.conf.Rootless,
		Boot: control.Boot{
			ID: l.id, Version: version, Config: *a.conf, Spec: spec, HostRoot: l.hostRoot,
			BindTrees: map[int]int{}, Shared: map[int]bool{},
		},
	}}
	overlay := a.conf.Overlay2 != "none"
	shared := a.conf.FileAccess == "shared" || l.hostRoot
	args.Trees = []control.Tree{{Source: spec.Root.Path, Recursive: true, ReadOnly: spec.Root.Readonly || overlay, Shared: shared}}
	if shared {
		args.Boot.Shared[0] = true
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if !bundle.IsBind(m) {
			continue
		}
		if _, err := os.Stat(m.Source); err != nil {
			return nil, fmt.Errorf("bind mount on %s: %w", m.Destination, err)
		}
		tree := control.Tree{Source: m.Source, Shared: true, ReadOnly: strings.HasPrefix(a.conf.Overlay2, "all:")}
		for _, o := range m.Options {
			switch o {
			case "rbind":
				tree.Recursive = true
			case "ro":
				tree.ReadOnly = true
			}
		}
		args.Boot.BindTrees[i] = len(args.Trees)
		args.Boot.Shared[len(args.Trees)] = true
		args.Trees = append(args.Trees, tree)
	}
	for i := range args.Trees {
		real, err := filepath.EvalSymlinks(args.Trees[i].Source)
		if err != nil {
			return nil, err
		}
		args.Trees[i].Source = real
	}
	return args, nil
}

// takeNetwork sees to the network namespace that the configuration names: with
// --network=sandbox it is taken over, with --network=host the sandbox lives in it, or in
// that of runsc if the configuration asks for none.
func (args *launchArgs) takeNetwork(a *app) (err error) {
	path, own := "", false
	if linux := args.Boot.Spec.Linux; linux != nil {
		for _, ns := range linux.Namespaces {
			if ns.Type == specs.NetworkNamespace {
				path, own = ns.Path, ns.Path == ""
			}
		}
	}
	switch a.conf.Network {
	case "host":
		args.HostNet, args.NetNS = !own, path
	case "sandbox":
		if path != "" {
			args.Boot.Network, args.Network, err = netns.Take(path, func(note string) { a.log.Warn(note) })
		}
	}
	return err
}

func (args *launchArgs) closeNetwork() {
	for _, f := range args.Network {
		f.Close()
	}
}

// takeTerminal makes the terminal on standard input the container's: raw here,
// for the container's own terminal interprets what is typed.
func (args *launchArgs) takeTerminal() (restore func(), err error) {
	if !term.IsTerminal(0) {
		return nil, errors.New("process.terminal is true, but standard input is not a terminal")
	}
	size, err := windowSize()
	if err != nil {
		return nil, err
	}
	old, err := term.MakeRaw(0)
	if err != nil {
		return nil, fmt.Errorf("setting up the terminal: %w", err)
	}
	args.Boot.Terminal, args.Boot.Size = true, size
	args.Stdio = [3]*os.File{os.Stdin, os.Stdin, os.Stdin}
	return func() { term.Restore(0, old) }, nil
}

// windowSize returns the size of the terminal on standard input.
func windowSize() (control.WindowSize, error) {
	ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return control.WindowSize{}, fmt.Errorf("reading the terminal's size: %w", err)
	}
	return control.WindowSize{Rows: ws.Row, Cols: ws.Col, X: ws.Xpixel, Y: ws.Ypixel}, nil
}
