package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/google/subcommands"
	"golang.org/x/sys/unix"
)

type killCommand struct{ all bool }

func (*killCommand) Name() string     { return "kill" }
func (*killCommand) Synopsis() string { return "send a signal to a container" }
func (*killCommand) Usage() string {
	return `kill [--all] CONTAINER-ID [SIGNAL]

Send SIGNAL, a name or a number, by default TERM, to the first process of a container.

`
}

func (c *killCommand) SetFlags(f *flag.FlagSet) {
	f.BoolVar(&c.all, "all", false, "send the signal to all processes of the container")
	f.BoolVar(&c.all, "a", false, "short for --all")
}

func (c *killCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() != 1 && f.NArg() != 2 {
		fmt.Fprintln(os.Stderr, "runsc: kill takes a container's id and, if it is not TERM, a signal")
		return exitFailure
	}
	sig := unix.SIGTERM
	if f.NArg() == 2 {
		var err error
		if sig, err = parseSignal(f.Arg(1)); err != nil {
			return a.fail(err)
		}
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	if err := ctr.Signal(sig, c.all); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}

// maxSignal is the last real-time signal (signal(7)).
const maxSignal = 64

// parseSignal takes a number, or a name with or without SIG.
func parseSignal(s string) (unix.Signal, error) {
	if n, err := strconv.Atoi(s); err == nil {
		if n < 0 || n > maxSignal {
			return 0, fmt.Errorf("unknown signal %q", s)
		}
		return unix.Signal(n), nil
	}
	name := strings.ToUpper(s)
	if !strings.HasPrefix(name, "SIG") {
		name = "SIG" + name
	}
	if sig := unix.SignalNum(name); sig != 0 {
		return sig, nil
	}
	return 0, fmt.Errorf("unknown signal %q", s)
}
