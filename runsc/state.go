package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/container"
)

type stateCommand struct{}

func (*stateCommand) Name() string     { return "state" }
func (*stateCommand) Synopsis() string { return "show the state of a container" }
func (*stateCommand) Usage() string {
	return "state CONTAINER-ID\n\nShow the state of a container as JSON.\n"
}
func (*stateCommand) SetFlags(*flag.FlagSet) {}

func (*stateCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	c, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	data, err := json.MarshalIndent(stateOf(c), "", "  ")
	if err == nil {
		_, err = os.Stdout.Write(data)
	}
	if err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}

// containerState is what state and list show of a container, in runc's form.
type containerState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	PID         int               `json:"pid"`
	Status      container.Status  `json:"status"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Owner       string            `json:"owner"`
}

func stateOf(c *container.Container) *containerState {
	s := &containerState{
		Version: specs.Version, ID: c.State.ID, Status: c.Status(), Bundle: c.State.Bundle, Rootfs: c.State.Rootfs,
		Created: c.State.Created, Annotations: c.State.Annotations,
	}
	if s.Status != container.StatusStopped {
		s.PID = c.State.Init.PID
	}
	return s
}

// ownerName is the name of the user who has made the container, #UID if it has none.
func ownerName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return "#" + strconv.Itoa(uid)
}
