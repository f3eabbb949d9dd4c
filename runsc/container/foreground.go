package container

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// Run starts a container that was created in the foreground and waits for its end. Signals
// that come on the channel go to the container. It returns the exit code.
func (c *Container) Run(o *Options, signals <-chan os.Signal) (int, error) {
	defer c.Unlock()
	s := c.sandbox
	if s == nil {
		return 0, errors.New("a container that joins the sandbox of another one can only be run detached")
	}
	if _, err := s.Call(&control.Request{Attach: c.State.ID}); err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	group, err := c.group()
	if err != nil {
		return 0, err
	}
	c.Unlock()
	go Forward(s.Conn, signals, o.Spec.Process.Terminal && o.Terminal.ConsoleSocket == "")
	reply, err := s.Receive()
	if err != nil {
		if group != nil && group.OOMKills() > 0 {
			err = fmt.Errorf("out of memory: the host has killed processes of the sandbox at the limit of its cgroup: %w", err)
		}
		return 0, err
	}
	return reply.Exited.Status(), nil
}

// Forward passes signals on to the process that conn is attached to, until the connection
// ends. If terminal is set, standard input is the process's terminal.
func Forward(conn *control.Conn, signals <-chan os.Signal, terminal bool) {
	for sig := range signals {
		r := control.Request{}
		switch sig {
		case unix.SIGCHLD, unix.SIGURG, unix.SIGPIPE:
			continue
		case unix.SIGWINCH:
			if !terminal {
				continue
			}
			size, err := WindowSize()
			if err != nil {
				continue
			}
			r.Resize = &size
		default:
			r.Signal = &control.Signal{Number: int(sig.(syscall.Signal))}
		}
		if conn.Send(&r) != nil {
			return
		}
	}
}

// Await waits for the end of the process that conn is attached to.
func Await(conn *control.Conn) (int, error) {
	reply, err := sandbox.Receive(conn)
	if err != nil {
		return 0, err
	}
	return reply.Exited.Status(), nil
}
