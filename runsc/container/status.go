package container

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A Status is a container's state in the sense of the runtime-spec, and "paused".
type Status string

const (
	StatusCreating Status = "creating"
	StatusCreated  Status = "created"
	StatusRunning  Status = "running"
	StatusPaused   Status = "paused"
	StatusStopped  Status = "stopped"
)

// Find returns the process that has the number pid now.
func Find(pid int) (Process, error) {
	fields, err := statFields(pid)
	if err != nil {
		return Process{}, err
	}
	start, err := strconv.ParseUint(fields[19], 10, 64)
	return Process{PID: pid, Start: start}, err
}

// statFields are those of /proc/PID/stat from the third on (proc_pid_stat(5)).
func statFields(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat is too short", pid)
	}
	return fields, nil
}

// Alive reports whether the process runs still; a zombie does not.
func (p Process) Alive() bool {
	if p.PID == 0 {
		return false
	}
	fields, err := statFields(p.PID)
	return err == nil && fields[19] == strconv.FormatUint(p.Start, 10) && fields[0] != "Z" && fields[0] != "X"
}

// exists reports whether the process is there, maybe as a zombie.
func (p Process) exists() bool {
	now, err := Find(p.PID)
	return p.PID != 0 && err == nil && now == p
}

// Signal sends the process a signal, if it is there.
func (p Process) Signal(sig unix.Signal) error {
	if p.PID == 0 {
		return unix.ESRCH
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if !p.exists() {
		return unix.ESRCH
	}
	return unix.PidfdSendSignal(fd, sig, nil, 0)
}

// wait waits until the process has ended, at most that long, and reports whether it has.
func (p Process) wait(limit time.Duration) bool {
	if !p.Alive() {
		return true
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return err == unix.ESRCH
	}
	defer unix.Close(fd)
	deadline := time.Now().Add(limit)
	for p.Alive() {
		left := time.Until(deadline)
		if left <= 0 {
			return false
		}
		unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
	}
	return true
}

// Status finds out how the container is.
func (c *Container) Status() Status {
	s := &c.State
	if s.Phase == Creating && s.Init.PID == 0 {
		return StatusCreating
	}
	if !s.Init.Alive() {
		return StatusStopped
	}
	switch s.Phase {
	case Creating:
		return StatusCreating
	case Created:
		return StatusCreated
	}
	if s.Paused {
		return StatusPaused
	}
	if g, err := c.group(); err == nil && g != nil && g.Frozen() {
		return StatusPaused
	}
	return StatusRunning
}

// PID is the host's process id of the container's first process, 0 if it has ended.
func (c *Container) PID() int {
	if !c.State.Init.Alive() {
		return 0
	}
	return c.State.Init.PID
}

// OCIState is the container's state as hooks and runsc state show it (runtime-spec,
// runtime.md "State").
func (c *Container) OCIState() *specs.State {
	status := c.Status()
	s := &specs.State{
		Version: specs.Version, ID: c.State.ID, Status: specs.ContainerState(status), Bundle: c.State.Bundle, Annotations: c.State.Annotations,
	}
	if status != StatusStopped {
		s.Pid = c.State.Init.PID
	}
	return s
}
