package container

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"casemate/runsc/cgroup"
	"casemate/runsc/control"
)

// HostPIDs are the host's processes that run the container's, with whose names and command
// lines the host's list of processes shows them (docker top looks there). Where the sandbox
// cannot say which these are, they are all of its cgroup, or at least the one that stands for
// the container.
func (c *Container) HostPIDs() ([]int, error) {
	status := c.Status()
	if status == StatusStopped || status == StatusCreating {
		return nil, ErrNotRunning
	}
	g, err := c.sandboxGroup()
	if err != nil {
		return nil, err
	}
	var pids []int
	if g != nil {
		if pids, err = g.Processes(); err != nil {
			return nil, err
		}
	}
	if status == StatusRunning {
		if shown, err := c.shown(pids); err != nil || len(shown) > 0 {
			return shown, err
		}
	}
	if !slices.Contains(pids, c.State.Init.PID) {
		pids = append([]int{c.State.Init.PID}, pids...)
	}
	return pids, nil
}

// sandboxGroup is the cgroup in which the container's processes run, nil if there is none.
func (c *Container) sandboxGroup() (*cgroup.Group, error) {
	if c.State.Sandbox == c.State.ID {
		return c.group()
	}
	first, err := c.env.Load(c.State.Sandbox)
	if err != nil {
		return nil, err
	}
	return first.group()
}

// shown has the host show the container's processes, and returns which of pids they are.
func (c *Container) shown(pids []int) (shown []int, err error) {
	reply, err := c.call(&control.Request{Processes: c.State.ID, Shown: true})
	if err != nil {
		return nil, err
	}
	for _, pid := range pids {
		inner, err := innerPID(pid)
		if err != nil {
			continue // it has ended
		}
		if slices.ContainsFunc(reply.Processes, func(p control.Process) bool { return p.Host == inner }) {
			shown = append(shown, pid)
		}
	}
	return shown, nil
}

// innerPID is the number of a process in the pid namespace that it is in itself (NSpid in
// proc_pid_status(5)).
func innerPID(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "NSpid:"); ok {
			fields := strings.Fields(rest)
			return strconv.Atoi(fields[len(fields)-1])
		}
	}
	return 0, fmt.Errorf("/proc/%d/status has no NSpid", pid)
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

// Debug asks the container's sandbox for something, or changes what it logs. files are those
// that profiles are written to.
func (c *Container) Debug(d *control.Debug, files ...*os.File) (string, error) {
	reply, err := c.call(&control.Request{Debug: d}, files...)
	if err != nil {
		return "", err
	}
	return reply.Text, nil
}

// WaitHost waits for the end of the container, at most that long, and reports whether it
// has come.
func (c *Container) WaitHost(limit time.Duration) bool { return c.State.Init.wait(limit) }
