package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"

	"github.com/google/subcommands"

	"casemate/runsc/control"
)

type debugCommand struct {
	stacks   bool
	strace   string
	logLevel string
	ps       bool
}

func (*debugCommand) Name() string     { return "debug" }
func (*debugCommand) Synopsis() string { return "look into a sandbox" }
func (*debugCommand) Usage() string {
	return `debug [flags] CONTAINER-ID

Show the stacks of a container's sandbox, or change what it writes to its debug log.

`
}

func (c *debugCommand) SetFlags(f *flag.FlagSet) {
	f.BoolVar(&c.stacks, "stacks", false, "show the stacks of all goroutines")
	f.StringVar(&c.strace, "strace", "", "log every system call: `on` or off")
	f.StringVar(&c.logLevel, "log-level", "", "`level` of the debug log: debug, info or warning")
	f.BoolVar(&c.ps, "ps", false, "list the processes")
}

func (c *debugCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	d := &control.Debug{Stacks: c.stacks, Level: c.logLevel}
	switch c.strace {
	case "":
	case "on", "off":
		on := c.strace == "on"
		d.Strace = &on
	default:
		on, err := strconv.ParseBool(c.strace)
		if err != nil {
			return a.fail(fmt.Errorf("invalid value %q for --strace: it must be on or off", c.strace))
		}
		d.Strace = &on
	}
	text, err := ctr.Debug(d)
	if err != nil {
		return a.fail(err)
	}
	fmt.Print(text)
	if c.ps {
		processes, err := ctr.Processes()
		if err != nil {
			return a.fail(err)
		}
		for _, p := range processes {
			fmt.Printf("%d\t%d\t%s\n", p.PID, p.PPID, p.Command)
		}
	}
	return subcommands.ExitSuccess
}
