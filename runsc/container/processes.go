package container

import (
	"slices"
	"time"

	"casemate/runsc/control"
)

// HostPIDs are the host's processes of the container: those in its cgroup, or at least
// the one that stands for it.
func (c *Container) HostPIDs() ([]int, error) {
	switch c.Status() {
	case StatusStopped, StatusCreating:
		return nil, ErrNotRunning
	}
	g, err := c.group()
	if err != nil {
		return nil, err
	}
	var pids []int
	if g != nil {
		if pids, err = g.Processes(); err != nil {
			return nil, err
		}
	}
	if !slices.Contains(pids, c.State.Init.PID) {
		pids = append([]int{c.State.Init.PID}, pids...)
	}
	return pids, nil
}

// Processes are those inside the container.
func (c *Container) Processes() ([]control.Process, error) {
	if c.Status() != StatusRunning {
		return nil, ErrNotRunning
	}
	reply, err := c.call(&control.Request{Processes: c.State.ID})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(reply.Processes, func(a, b control.Process) int { return a.PID - b.PID })
	return reply.Processes, nil
}

// Debug asks the container's sandbox for something, or changes what it logs.
func (c *Container) Debug(d *control.Debug) (string, error) {
	reply, err := c.call(&control.Request{Debug: d})
	if err != nil {
		return "", err
	}
	return reply.Text, nil
}

// WaitHost waits for the end of the container, at most that long, and reports whether it
// has come.
func (c *Container) WaitHost(limit time.Duration) bool { return c.State.Init.wait(limit) }
