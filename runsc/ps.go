package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/google/subcommands"
)

type psCommand struct{ format string }

func (*psCommand) Name() string     { return "ps" }
func (*psCommand) Synopsis() string { return "list the processes of a container" }
func (*psCommand) Usage() string {
	return `ps [--format table|json] CONTAINER-ID

List the processes inside a container or, as json, the ids of the host's processes that
make it up.

`
}

func (c *psCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.format, "format", "table", "`format`: table or json")
	f.StringVar(&c.format, "f", "table", "short for --format")
}

func (c *psCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() < 1 {
		fmt.Fprintln(os.Stderr, "runsc: ps needs a container's id")
		return exitFailure
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	switch c.format {
	case "json":
		pids, err := ctr.HostPIDs()
		if err != nil {
			return a.fail(err)
		}
		if err := json.NewEncoder(os.Stdout).Encode(pids); err != nil {
			return a.fail(err)
		}
	case "table":
		processes, err := ctr.Processes()
		if err != nil {
			return a.fail(err)
		}
		w := tabwriter.NewWriter(os.Stdout, 10, 1, 3, ' ', 0)
		fmt.Fprint(w, "UID\tPID\tPPID\tTHREADS\tTIME\tCMD\n")
		for _, p := range processes {
			fmt.Fprintf(w, "%d\t%d\t%d\t%d\t%s\t%s\n", p.UID, p.PID, p.PPID, p.Threads, time.Duration(p.CPU).Round(10*time.Millisecond), p.Command)
		}
		if err := w.Flush(); err != nil {
			return a.fail(err)
		}
	default:
		return a.fail(errors.New("invalid format option"))
	}
	return subcommands.ExitSuccess
}
