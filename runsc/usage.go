package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"

	"github.com/google/subcommands"
)

type usageCommand struct{}

func (*usageCommand) Name() string     { return "usage" }
func (*usageCommand) Synopsis() string { return "show the memory that a container uses" }
func (*usageCommand) Usage() string {
	return "usage CONTAINER-ID\n\nShow the memory that a container's sandbox uses on the host, in bytes, as JSON.\n"
}
func (*usageCommand) SetFlags(*flag.FlagSet) {}

func (*usageCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	group, err := ctr.Group()
	if err != nil {
		return a.fail(err)
	}
	stats, err := group.Stats()
	if err != nil {
		return a.fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(stats.Memory); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}
