package container

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// join makes the container in the sandbox of another one: it gets a gofer of its own and, as
// the process that stands for it on the host, a monitor.
func (c *Container) join(p *place, args *sandbox.Args) error {
	first, err := c.env.Load(p.sandbox)
	if err != nil || !first.State.Init.Alive() {
		return fmt.Errorf("%w: %s", errNoSandbox, p.sandbox)
	}
	if c.State.Network, err = p.networkOf(first, args.Boot.Spec); err != nil {
		return err
	}
	c.State.Sandbox, c.State.Sentry = p.sandbox, first.State.Sentry
	args.Boot.Joins, args.Boot.OwnNetwork = p.joins, c.State.Network != sharedNetwork
	g, err := sandbox.StartGofer(args)
	if err != nil {
		return err
	}
	defer g.Socket.Close()
	if c.State.Gofer, err = Find(g.PID()); err != nil {
		g.Destroy()
		return err
	}
	if err := c.save(); err != nil {
		return err
	}
	conn, err := first.Connect()
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := sandbox.Call(conn, &control.Request{Create: &args.Boot.Container}, slices.Concat([]*os.File{g.Socket}, args.Files, args.Stores)...); err != nil {
		return startError(err)
	}
	if _, err := sandbox.Call(conn, &control.Request{Attach: c.State.ID, Kill: true}); err != nil {
		return err
	}
	var tty *os.File
	if args.Console {
		tty = args.Files[0]
	}
	exit, err := c.openExit()
	if err != nil {
		return err
	}
	defer exit.Close()
	// Engines prepare the network in the namespace of the process that stands for the container.
	_, isNew := networkNamespace(args.Boot.Spec)
	monitor, err := startMonitor(conn, exit, tty, isNew && c.State.Network == takenNetwork)
	if err != nil {
		return err
	}
	if c.State.Init, err = Find(monitor.Process.Pid); err != nil {
		return err
	}
	c.findNetwork(args.Boot.Spec)
	if args.Cgroup != nil {
		if err := args.Cgroup.Add(monitor.Process.Pid); err != nil {
			return err
		}
	}
	if err := c.save(); err != nil {
		return err
	}
	return c.createHooks(args.Boot.Spec)
}

// Descriptors that a monitor (runsc monitor) finds open at its start.
const (
	MonitorConn     = 3 + iota // control connection that is attached to a process
	MonitorExit                // the file that the exit code is written to, or /dev/null
	MonitorTerminal            // the process's terminal, if it has one: its controlling terminal too
)

// startMonitor starts the process of the host that stands for a process in a sandbox, in a
// network namespace of its own if newNet is set. exit and tty may be nil.
func startMonitor(conn *control.Conn, exit, tty *os.File, newNet bool) (*exec.Cmd, error) {
	if exit == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		defer null.Close()
		exit = null
	}
	cmd := exec.Command("/proc/self/exe", "monitor")
	cmd.Args[0] = "runsc"
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{conn.File(), exit}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if newNet {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
	}
	if tty != nil {
		cmd.Args = append(cmd.Args, "--terminal")
		cmd.ExtraFiles = append(cmd.ExtraFiles, tty)
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, MonitorTerminal
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the monitor: %w", err)
	}
	return cmd, nil
}
