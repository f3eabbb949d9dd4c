package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
)

// takeOver makes c.dir, which was there already and is locked now, that of the new
// container, if it is one that a runsc run or do has left behind: they hold the lock as
// long as they live, and remove the directory at the end unless they are killed. It
// fails with ErrExists if not. What the old container still has on the host is done
// away with.
func (c *Container) takeOver() error {
	old, err := readState(c.dir)
	if err != nil {
		return err
	}
	if err := old.clear(); err != nil {
		return err
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return fmt.Errorf("clearing the container's state directory: %w", err)
	}
	for _, e := range entries {
		if e.Name() == lockName {
			continue
		}
		if err := os.RemoveAll(filepath.Join(c.dir, e.Name())); err != nil {
			return fmt.Errorf("clearing the container's state directory: %w", err)
		}
	}
	return nil
}

// readState reads the state file in dir. Without one the state is that of a container
// for which nothing has been started yet.
func readState(dir string) (*State, error) {
	data, err := os.ReadFile(filepath.Join(dir, stateName))
	if errors.Is(err, os.ErrNotExist) {
		return &State{Foreground: true}, nil
	}
	s := new(State)
	if err == nil {
		err = json.Unmarshal(data, s)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the container's state: %w", err)
	}
	return s, nil
}

// clear kills what is left of the container and removes its cgroup. It fails with
// ErrExists if the container is one that stays until it is deleted.
func (s *State) clear() error {
	if !s.Foreground {
		return ErrExists
	}
	for _, p := range []Process{s.Sandbox, s.Gofer} {
		if err := p.kill(); err != nil {
			return err
		}
	}
	if len(s.Cgroup) == 0 {
		return nil
	}
	group, err := cgroup.Load(s.Cgroup)
	if err != nil {
		return err
	}
	return group.Delete()
}

// A Process names a process of the host for longer than it lives: numbers are used
// again, but not with the same start time.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since the host's start; field 22 of /proc/PID/stat
}

// NameProcess returns the name of the process that has the number pid now.
func NameProcess(pid int) Process {
	start, _ := startTime(pid)
	return Process{PID: pid, Start: start}
}

// startTime reads field 22 of /proc/PID/stat. ok is false if there is no such process
// or if it is a zombie.
func startTime(pid int) (start uint64, ok bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	// The second field is the command's name in parentheses, which may have anything.
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 || fields[0] == "Z" {
		return 0, false
	}
	start, err = strconv.ParseUint(fields[19], 10, 64)
	return start, err == nil
}

// Alive reports whether the process runs.
func (p Process) Alive() bool {
	start, ok := startTime(p.PID)
	return ok && p.PID > 0 && start == p.Start
}

// dying is how long kill waits.
const dying = 5 * time.Second

// kill kills the process with SIGKILL and waits for its end.
func (p Process) kill() error {
	if !p.Alive() {
		return nil
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return fmt.Errorf("process %d of the container: %w", p.PID, err)
	}
	defer unix.Close(fd)
	if !p.Alive() {
		return nil // the descriptor may be one of another
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("killing process %d of the container: %w", p.PID, err)
	}
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(dying.Milliseconds()))
	if n == 0 && err == nil {
		return fmt.Errorf("process %d of the container does not end", p.PID)
	}
	return nil
}
