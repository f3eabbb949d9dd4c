package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/google/subcommands"

	"casemate/runsc/boot"
)

// bootCommand is the sandbox process. It is started by runsc with the descriptors
// that package control lists.
type bootCommand struct{}

func (*bootCommand) Name() string           { return "boot" }
func (*bootCommand) Synopsis() string       { return "be a sandbox" }
func (*bootCommand) Usage() string          { return "boot\n\nStarted by runsc itself.\n" }
func (*bootCommand) SetFlags(*flag.FlagSet) {}

func (*bootCommand) Execute(_ context.Context, _ *flag.FlagSet, args ...any) subcommands.ExitStatus {
	theApp(args)
	code, err := boot.Run()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return subcommands.ExitStatus(code)
}
