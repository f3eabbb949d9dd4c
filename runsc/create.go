package main

import (
	"context"
	"errors"
	"flag"

	"github.com/google/subcommands"
)

type createCommand struct{ createFlags }

func (*createCommand) Name() string     { return "create" }
func (*createCommand) Synopsis() string { return "create a container, which start runs" }
func (*createCommand) Usage() string {
	return `create [flags] CONTAINER-ID

Make the container that the bundle describes, up to its process, which start runs.

`
}

func (c *createCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	a.failed = "runsc create failed: "
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	o, err := c.options(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	if o.Spec.Process.Terminal && c.consoleSocket == "" {
		return a.fail(errors.New("cannot allocate tty if runsc will detach without setting console socket"))
	}
	ctr, err := a.env().Create(o)
	if err != nil {
		return a.fail(err)
	}
	ctr.Unlock()
	return subcommands.ExitSuccess
}
