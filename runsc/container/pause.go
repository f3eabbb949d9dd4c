package container

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/cgroup"
	"casemate/runsc/control"
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

// Pause stops all processes of the container; the container is locked. The host freezes the
// sandbox, unless other containers are in it: then the sandbox stops those of this one.
func (c *Container) Pause() error {
	if status := c.Status(); status != StatusRunning && status != StatusCreated {
		return fmt.Errorf("container not running or created: %s", status)
	}
	shared, err := c.sharesSandbox()
	if err != nil {
		return err
	}
	if !shared {
		g, err := c.limited()
		if err != nil {
			return err
		}
		return g.Freeze()
	}
	c.State.Paused = true
	if err := c.save(); err != nil {
		return err
	}
	_, err = c.call(&control.Request{Pause: c.State.ID})
	if err != nil {
		c.State.Paused = false
		err = errors.Join(err, c.save())
	}
	return err
}

// sharesSandbox reports whether other containers are in the container's sandbox.
func (c *Container) sharesSandbox() (bool, error) {
	if c.State.Sandbox != c.State.ID {
		return true, nil
	}
	all, err := c.env.List()
	if err != nil {
		return false, err
	}
	for _, other := range all {
		if other.State.Sandbox == c.State.ID && other.State.ID != c.State.ID && other.Status() != StatusStopped {
			return true, nil
		}
	}
	return false, nil
}

// Resume lets them go on; the container is locked.
func (c *Container) Resume() error {
	if c.State.Paused {
		if _, err := c.call(&control.Request{Resume: c.State.ID}); err != nil {
			return err
		}
		c.State.Paused = false
		return c.save()
	}
	g, err := c.limited()
	if err != nil {
		return err
	}
	if !g.Frozen() {
		return errors.New("container not paused")
	}
	if err := g.Thaw(); err != nil {
		return err
	}
	return c.tellLimits(g) // they may have been changed meanwhile
}

// Update sets those limits of the container that r names; the container is locked.
func (c *Container) Update(r *specs.LinuxResources) error {
	if c.Status() == StatusStopped {
		return ErrNotRunning
	}
	g, err := c.limited()
	if err != nil {
		return err
	}
	if err := g.Update(r); err != nil {
		return err
	}
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	if spec.Linux == nil {
		spec.Linux = new(specs.Linux)
	}
	if spec.Linux.Resources, err = cgroup.Merge(spec.Linux.Resources, r); err != nil {
		return err
	}
	if err := c.saveSpec(spec); err != nil {
		return err
	}
	if frozen, err := c.frozen(); err != nil || frozen {
		return err // Resume tells the sandbox
	}
	return c.tellLimits(g)
}

// frozen reports whether the host has frozen the container's sandbox.
func (c *Container) frozen() (bool, error) {
	g, err := c.sandboxGroup()
	return err == nil && g != nil && g.Frozen(), err
}

// tellLimits has the sandbox go by the container's limits as they are now.
func (c *Container) tellLimits(g *cgroup.Group) error {
	spec, err := c.Spec()
	if err != nil {
		return err
	}
	u := &control.Update{Container: c.State.ID, Limits: g.Limits()}
	if spec.Linux != nil {
		u.Resources = spec.Linux.Resources
	}
	_, err = c.call(&control.Request{Update: u})
	return err
}

// OOMKills returns how many processes of the container have been killed for want of memory: by
// the host, which ends the sandbox, or by the sandbox.
func (c *Container) OOMKills() (uint64, error) {
	g, err := c.limited()
	if err != nil {
		return 0, err
	}
	kills := g.OOMKills()
	if c.Status() == StatusRunning {
		reply, err := c.call(&control.Request{OOMKills: c.State.ID})
		if err != nil {
			return kills, err
		}
		kills += uint64(reply.OOMKills)
	}
	return kills, nil
}

// Group returns the container's cgroup, for figures of what it uses.
func (c *Container) Group() (*cgroup.Group, error) { return c.limited() }
