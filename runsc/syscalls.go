package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/google/subcommands"

	"casemate/sentry/kernel"
	"casemate/sentry/syscalls"
)

type syscallsCommand struct {
	format string
}

func (*syscallsCommand) Name() string { return "syscalls" }
func (*syscallsCommand) Synopsis() string {
	return "list the system calls and how far they are supported"
}
func (*syscallsCommand) Usage() string {
	return `syscalls [--format=table|json]

List every system call of Linux on this architecture: full, partial (the note says
what is missing), or absent (it gives ENOSYS).

`
}

func (c *syscallsCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.format, "format", "table", "table or json")
}

func (c *syscallsCommand) Execute(_ context.Context, _ *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	type row struct {
		Number  int    `json:"number"`
		Name    string `json:"name"`
		Support string `json:"support"`
		Note    string `json:"note,omitempty"`
	}
	var rows []row
	for nr := range kernel.MaxSyscall {
		if e := syscalls.Table().Entry(uint64(nr)); e != nil {
			rows = append(rows, row{nr, e.Name, e.Support.String(), e.Note})
		}
	}
	switch c.format {
	case "json":
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(rows); err != nil {
			return a.fail(err)
		}
	case "table":
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "NUMBER\tNAME\tSUPPORT\tNOTE")
		for _, r := range rows {
			fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", r.Number, r.Name, r.Support, r.Note)
		}
		if err := w.Flush(); err != nil {
			return a.fail(err)
		}
	default:
		fmt.Fprintf(os.Stderr, "runsc: invalid value %q for --format: it must be table or json\n", c.format)
		return exitFailure
	}
	return subcommands.ExitSuccess
}
