package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type versionCommand struct{}

func (*versionCommand) Name() string     { return "version" }
func (*versionCommand) Synopsis() string { return "show the version" }
func (*versionCommand) Usage() string {
	return "version\n\nShow the version of runsc and of the OCI specification.\n"
}
func (*versionCommand) SetFlags(*flag.FlagSet) {}

func (*versionCommand) Execute(context.Context, *flag.FlagSet, ...any) subcommands.ExitStatus {
	fmt.Printf("runsc version %s\nspec: %s\n", version, specs.Version)
	return subcommands.ExitSuccess
}
