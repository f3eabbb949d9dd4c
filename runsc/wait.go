package main

import (
	"context"
	"encoding/json"
	"flag"
	"os"

	"github.com/google/subcommands"
)

type waitCommand struct{}

func (*waitCommand) Name() string     { return "wait" }
func (*waitCommand) Synopsis() string { return "wait for the end of a container" }
func (*waitCommand) Usage() string {
	return "wait CONTAINER-ID\n\nWait for the end of a container's first process and show its exit status as JSON.\n"
}
func (*waitCommand) SetFlags(*flag.FlagSet) {}

func (*waitCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	c, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	code, err := c.Wait()
	if err != nil {
		return a.fail(err)
	}
	result := struct {
		ID         string `json:"id"`
		ExitStatus int    `json:"exitStatus"`
	}{c.State.ID, code}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}
