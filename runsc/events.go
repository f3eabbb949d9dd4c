package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"time"

	"github.com/google/subcommands"

	"casemate/runsc/cgroup"
	"casemate/runsc/container"
)

type eventsCommand struct {
	interval time.Duration
	stats    bool
}

func (*eventsCommand) Name() string { return "events" }
func (*eventsCommand) Synopsis() string {
	return "show what a container uses, and when it runs out of memory"
}
func (*eventsCommand) Usage() string {
	return `events [--stats] [--interval DURATION] CONTAINER-ID

Show figures of what a container uses, one JSON object a line, and when processes of it
have been killed for want of memory.

`
}

func (c *eventsCommand) SetFlags(f *flag.FlagSet) {
	f.DurationVar(&c.interval, "interval", 5*time.Second, "`time` between two lines of figures")
	f.BoolVar(&c.stats, "stats", false, "show the figures once")
}

// An event is one line of the output.
type event struct {
	Type string        `json:"type"`
	ID   string        `json:"id"`
	Data *cgroup.Stats `json:"data,omitempty"`
}

func (c *eventsCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	if c.interval <= 0 {
		return a.fail(errors.New("duration interval must be greater than 0"))
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	if ctr.Status() == container.StatusStopped {
		return a.fail(errors.New("container with id " + ctr.State.ID + " is not running"))
	}
	group, err := ctr.Group()
	if err != nil {
		return a.fail(err)
	}
	out := json.NewEncoder(os.Stdout)
	kills, _ := ctr.OOMKills()
	for {
		// It may be about to end, which is found out below.
		if now, _ := ctr.OOMKills(); now > kills {
			kills = now
			if err := out.Encode(event{Type: "oom", ID: ctr.State.ID}); err != nil {
				return a.fail(err)
			}
		}
		stats, err := group.Stats()
		if err != nil {
			return a.fail(err)
		}
		if err := out.Encode(event{"stats", ctr.State.ID, stats}); err != nil {
			return a.fail(err)
		}
		if c.stats {
			return subcommands.ExitSuccess
		}
		if ctr.WaitHost(c.interval) {
			return subcommands.ExitSuccess
		}
	}
}
