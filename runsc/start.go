package main

import (
	"context"
	"flag"

	"github.com/google/subcommands"
)

type startCommand struct{}

func (*startCommand) Name() string     { return "start" }
func (*startCommand) Synopsis() string { return "run the process of a container that was created" }
func (*startCommand) Usage() string {
	return "start CONTAINER-ID\n\nRun the process of a container that create has made.\n"
}
func (*startCommand) SetFlags(*flag.FlagSet) {}

func (*startCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	c, err := a.env().Open(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	defer c.Unlock()
	if err := c.Start(); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}
