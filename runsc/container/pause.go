package container

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/cgroup"
)

// errNoGroup says that something needs a control group.
var errNoGroup = errors.New("the container has no cgroup of its own")

// limited returns the container's cgroup if it has one.
func (c *Container) limited() (*cgroup.Group, error) {
	g, err := c.group()
	if err == nil && g == nil {
		err = errNoGroup
	}
	return g, err
}

// Pause freezes all processes of the container; the container is locked.
func (c *Container) Pause() error {
	if status := c.Status(); status != StatusRunning && status != StatusCreated {
		return fmt.Errorf("container not running or created: %s", status)
	}
	g, err := c.limited()
	if err != nil {
		return err
	}
	return g.Freeze()
}

// Resume lets them go on; the container is locked.
func (c *Container) Resume() error {
	g, err := c.limited()
	if err != nil {
		return err
	}
	if !g.Frozen() {
		return errors.New("container not paused")
	}
	return g.Thaw()
}

// Update sets those limits of the container that r names; the container is locked. The
// sandbox goes on to show the limits that it began with.
func (c *Container) Update(r *specs.LinuxResources) error {
	if c.Status() == StatusStopped {
		return ErrNotRunning
	}
	g, err := c.limited()
	if err != nil {
		return err
	}
	return g.Update(r)
}

// Group returns the container's cgroup, for figures of what it uses.
func (c *Container) Group() (*cgroup.Group, error) { return c.limited() }
