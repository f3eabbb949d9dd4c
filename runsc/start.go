package main

import (
	"context"
	"flag"

	"github.com/google/subcommands"

	"casemate/runsc/container"
)

type startCommand struct{}

func (*startCommand) Name() string     { return "start" }
func (*startCommand) Synopsis() string { return "run the process of a container that was created" }
func (*startCommand) Usage() string {
	return "start CONTAINER-ID\n\nRun the process of a container that create has made.\n"
}
func (*startCommand) SetFlags(*flag.FlagSet) {}

func (*startCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	return theApp(args).locked(f, (*container.Container).Start)
}
