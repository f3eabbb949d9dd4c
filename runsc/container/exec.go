package container

import (
	"errors"
	"fmt"
	"os"
	"os/exec"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/sandbox"
)

// ExecOptions say what process to run in a container.
type ExecOptions struct {
	Process     *specs.Process
	Terminal    Terminal
	PreserveFDs int
	Detach      bool
	PIDFile     string
	// IgnorePaused has the process made in a container that is paused.
	IgnorePaused bool
}

// nice is the caller's nice value, which processes inherit (sched(7)).
func nice() int {
	p, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return 0
	}
	return 20 - p // as the system call gives it, it is never negative
}

// Exec runs another process in a running container. Detached, it returns when the process
// runs, for which a monitor stands on the host; else when it has ended, with its exit code.
// Signals that come on the channel go to the process.
func (c *Container) Exec(o *ExecOptions, signals <-chan os.Signal) (int, error) {
	switch status := c.Status(); status {
	case StatusRunning:
	case StatusPaused:
		if o.IgnorePaused {
			break
		}
		return 0, errors.New("cannot exec in a paused container (use --ignore-paused to override)")
	case StatusStopped:
		return 0, errors.New("cannot exec in a stopped container")
	case StatusCreated:
		return 0, errors.New("cannot exec in a container that has not been started")
	default:
		return 0, fmt.Errorf("cannot exec in a container in the %s state", status)
	}
	if o.Detach && o.Process.Terminal && o.Terminal.ConsoleSocket == "" {
		return 0, errors.New("cannot allocate tty if runsc will detach without setting console socket")
	}
	request := control.Exec{Container: c.State.ID, Process: o.Process, Nice: nice()}
	files, err := o.Terminal.files(o.Process.Terminal, o.PreserveFDs, &request.Stdio)
	if err != nil {
		return 0, err
	}
	defer o.Terminal.Restore()
	var tty *os.File
	if o.Terminal.ConsoleSocket != "" {
		tty = files[0]
		defer tty.Close()
	}
	conn, err := c.Connect()
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if _, err := sandbox.Call(conn, &control.Request{Exec: &request}, files...); err != nil {
		return 0, startError(err)
	}
	pid := os.Getpid()
	var monitor *exec.Cmd
	if o.Detach || tty != nil {
		if monitor, err = startMonitor(conn, nil, tty, false); err != nil {
			return 0, err
		}
		pid = monitor.Process.Pid
	}
	if o.PIDFile != "" {
		if err := writePID(o.PIDFile, pid); err != nil {
			return 0, err
		}
	}
	switch {
	case o.Detach:
		return 0, nil
	case monitor != nil:
		go func() {
			for sig := range signals {
				monitor.Process.Signal(sig)
			}
		}()
		monitor.Wait()
		return monitor.ProcessState.ExitCode(), nil
	}
	go Forward(conn, signals, o.Process.Terminal)
	return Await(conn)
}
