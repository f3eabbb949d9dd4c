package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/google/subcommands"

	"casemate/runsc/bundle"
	"casemate/runsc/sandbox"
)

type runCommand struct {
	bundle  string
	pidFile string
}

func (*runCommand) Name() string     { return "run" }
func (*runCommand) Synopsis() string { return "create and run a container" }
func (*runCommand) Usage() string {
	return `run [--bundle DIR] [--pid-file FILE] CONTAINER-ID

Run the container that the bundle describes, and end with its exit code.

`
}

func (c *runCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.bundle, "bundle", ".", "`directory` of the bundle")
	f.StringVar(&c.bundle, "b", ".", "short for --bundle")
	f.StringVar(&c.pidFile, "pid-file", "", "`file` that the sandbox's process id is written to")
}

func (c *runCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "runsc: run takes one argument, the container's id")
		return exitFailure
	}
	a.failed = "runsc run failed: "
	spec, err := bundle.Load(c.bundle)
	if err != nil {
		return a.fail(err)
	}
	l := launch{id: f.Arg(0), bundle: c.bundle, spec: spec, pidFile: c.pidFile}
	return l.execute(a)
}

// execute runs the container and returns runsc's own exit code.
func (l *launch) execute(a *app) subcommands.ExitStatus {
	code, err := l.run(a)
	if err == nil {
		return subcommands.ExitStatus(code)
	}
	a.fail(err)
	var start *startError
	switch {
	case errors.As(err, &start) && l.shellCodes:
		return subcommands.ExitStatus(start.code)
	case errors.Is(err, sandbox.ErrDied):
		return exitDied
	}
	return exitFailure
}
