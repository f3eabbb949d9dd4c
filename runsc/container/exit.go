package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// exitFile is where the exit code of the container's first process is written when it ends.
func (c *Container) exitFile() string { return filepath.Join(c.dir, "exit") }

// openExit makes the file, for who is to write to it.
func (c *Container) openExit() (*os.File, error) {
	f, err := os.OpenFile(c.exitFile(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("creating the file for the exit code: %w", err)
	}
	return f, nil
}

// Wait waits for the end of the container's first process, unless it has ended already, and
// returns its exit code. What has ended without one was killed.
func (c *Container) Wait() (int, error) {
	if c.Status() == StatusStopped {
		return c.exitCode()
	}
	reply, err := c.call(&control.Request{Wait: c.State.ID})
	switch {
	case err == nil && reply.Exited != nil:
		return reply.Exited.Status(), nil
	case errors.Is(err, sandbox.ErrDied), errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.ECONNRESET), errors.Is(err, os.ErrNotExist):
		c.State.Init.wait(dying)
		return c.exitCode()
	case err == nil:
		err = sandbox.ErrDied
	}
	return 0, err
}

// exitCode is that of a container that has stopped.
func (c *Container) exitCode() (int, error) {
	text, err := os.ReadFile(c.exitFile())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("reading the exit code: %w", err)
	}
	if len(text) == 0 {
		return 128 + int(unix.SIGKILL), nil
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}
