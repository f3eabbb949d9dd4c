package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// Connect makes a control connection to the container's sandbox.
func (c *Container) Connect() (*control.Conn, error) {
	return sandbox.Connect(filepath.Join(c.env.Conf.Root, c.State.Sandbox))
}

// call makes one request on a connection of its own, with which files go.
func (c *Container) call(r *control.Request, files ...*os.File) (*control.Reply, error) {
	conn, err := c.Connect()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return sandbox.Call(conn, r, files...)
}

// Start runs the first process of a container that is created; the container is locked.
func (c *Container) Start() error {
	switch status := c.Status(); status {
	case StatusCreated:
	case StatusStopped:
		return errors.New("cannot start a container that has stopped")
	case StatusRunning, StatusPaused:
		return errors.New("cannot start an already running container")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	network, sockets, err := c.takeNetwork(spec)
	if err != nil {
		return err
	}
	conn, err := c.Connect()
	if err == nil {
		defer conn.Close()
		_, err = sandbox.Call(conn, &control.Request{Start: c.State.ID, Network: network}, sockets...)
	}
	for _, f := range sockets {
		f.Close()
	}
	if err != nil {
		return err
	}
	c.State.Phase = Started
	if err := c.save(); err != nil {
		return err
	}
	if spec.Hooks != nil {
		if err := c.runHooks("poststart", spec.Hooks.Poststart, StatusRunning); err != nil {
			// The spec says to log it and go on (runtime.md "Lifecycle"); runc stops the
			// container, and engines rely on that.
			return errors.Join(err, c.kill())
		}
	}
	conn.Send(&control.Request{Started: true}) // unless it has ended already
	return nil
}

// Signal sends a signal to the container's first process, or to all its processes.
func (c *Container) Signal(sig unix.Signal, all bool) error {
	status := c.Status()
	switch {
	case status == StatusStopped && all:
		return nil
	case status == StatusStopped || status == StatusCreating:
		return ErrNotRunning
	case sig == 0:
		return nil // it is there
	case sig == unix.SIGKILL && c.State.Sandbox == c.State.ID && (status == StatusPaused || status == StatusCreated || !all):
		// The kernel in the sandbox is not needed for that, and may not be able to.
		return c.kill()
	case status == StatusCreated && sig == unix.SIGKILL:
		_, err := c.call(&control.Request{Delete: c.State.ID})
		return err
	case status == StatusPaused && !c.State.Paused:
		return c.signalFrozen(sig)
	case status == StatusCreated:
		return nil // it has no handler yet, and process 1 of a namespace ignores the rest
	}
	_, err := c.call(&control.Request{Signal: &control.Signal{Container: c.State.ID, Number: int(sig), All: all}})
	if errors.Is(err, sandbox.ErrDied) || errors.Is(err, unix.ECONNREFUSED) {
		return ErrNotRunning
	}
	return err
}

// signalFrozen sends a signal to the first process of a container that the host has frozen
// with its sandbox, which hands it on when it goes on.
func (c *Container) signalFrozen(sig unix.Signal) error {
	switch sig {
	case unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2:
		return c.State.Init.Signal(sig)
	}
	return fmt.Errorf("a paused container cannot be sent %s", unix.SignalName(sig))
}

// kill kills the first process, and with it the container.
func (c *Container) kill() error {
	err := c.State.Init.Signal(unix.SIGKILL)
	if g, gerr := c.group(); gerr == nil && g != nil && g.Frozen() {
		err = errors.Join(err, g.Thaw()) // else nothing in it can die
	}
	if err == unix.ESRCH {
		return ErrNotRunning
	}
	return err
}

// dying is how long the end of a killed process may take.
const dying = 10 * time.Second

// Delete removes a container that has stopped or, with force, kills it first. The
// container is locked, and unlocked at the end.
func (c *Container) Delete(force bool) error {
	defer c.Unlock()
	status := c.Status()
	switch {
	case status == StatusStopped || status == StatusCreated || force:
	default:
		return fmt.Errorf("cannot delete container %s that is not stopped: %s", c.State.ID, status)
	}
	spec, specErr := c.Spec()
	if err := c.destroy(); err != nil {
		return err
	}
	if specErr == nil && spec.Hooks != nil {
		for i := range spec.Hooks.Poststop {
			// A failure is logged and the rest is run (runtime-spec, runtime.md "Lifecycle").
			if err := c.runHooks("poststop", spec.Hooks.Poststop[i:i+1], StatusStopped); err != nil {
				c.env.Log.Warn(err.Error())
			}
		}
	}
	return nil
}

// destroy ends all processes of the container and removes what it has on the host.
func (c *Container) destroy() error {
	s := &c.State
	if words := sandbox.LastWords(c.dir); words != "" {
		c.env.Log.Error("the sandbox has died", "id", s.ID, "output", words)
	}
	group, err := c.group()
	if err != nil {
		return err
	}
	if group != nil && group.Frozen() {
		if err := group.Thaw(); err != nil {
			c.env.Log.Warn("thawing the container", "error", err)
		}
	}
	if s.Sandbox != s.ID && s.Sentry.Alive() {
		if _, err := c.call(&control.Request{Delete: s.ID}); err != nil {
			c.env.Log.Warn("the sandbox does not forget the container", "error", err)
		}
	}
	for _, p := range []Process{s.Init, s.Gofer} {
		if err := p.Signal(unix.SIGKILL); err != nil && err != unix.ESRCH {
			return fmt.Errorf("killing process %d: %w", p.PID, err)
		}
	}
	for _, p := range []Process{s.Init, s.Gofer} {
		if !p.wait(dying) {
			return fmt.Errorf("process %d does not end", p.PID)
		}
	}
	c.giveBackNetwork()
	if group != nil {
		if err := group.Kill(); err != nil {
			return err
		}
		if err := group.Delete(); err != nil {
			return err
		}
	}
	return c.removeDir()
}
