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

type listCommand struct {
	format string
	quiet  bool
}

func (*listCommand) Name() string     { return "list" }
func (*listCommand) Synopsis() string { return "list the containers" }
func (*listCommand) Usage() string {
	return "list [--format table|json] [--quiet]\n\nList the containers that there are below --root.\n\n"
}

func (c *listCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.format, "format", "table", "`format`: table or json")
	f.StringVar(&c.format, "f", "table", "short for --format")
	f.BoolVar(&c.quiet, "quiet", false, "show only the ids")
	f.BoolVar(&c.quiet, "q", false, "short for --quiet")
}

func (c *listCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() != 0 {
		fmt.Fprintln(os.Stderr, "runsc: list takes no arguments")
		return exitFailure
	}
	a.env().Sweep()
	all, err := a.env().List()
	if err != nil {
		return a.fail(err)
	}
	if c.quiet {
		for _, ctr := range all {
			fmt.Println(ctr.State.ID)
		}
		return subcommands.ExitSuccess
	}
	states := []*containerState{}
	for _, ctr := range all {
		s := stateOf(ctr)
		s.Owner = ownerName(ctr.State.Owner)
		states = append(states, s)
	}
	switch c.format {
	case "table":
		w := tabwriter.NewWriter(os.Stdout, 12, 1, 3, ' ', 0)
		fmt.Fprint(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED\tOWNER\n")
		for _, s := range states {
			fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\n", s.ID, s.PID, s.Status, s.Bundle, s.Created.Format(time.RFC3339Nano), s.Owner)
		}
		err = w.Flush()
	case "json":
		err = json.NewEncoder(os.Stdout).Encode(states)
	default:
		err = errors.New("invalid format option")
	}
	if err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}
