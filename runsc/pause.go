package main

import (
	"context"
	"flag"

	"github.com/google/subcommands"

	"casemate/runsc/container"
)

type pauseCommand struct{}

func (*pauseCommand) Name() string     { return "pause" }
func (*pauseCommand) Synopsis() string { return "stop all processes of a container for a while" }
func (*pauseCommand) Usage() string {
	return "pause CONTAINER-ID\n\nFreeze all processes of a container, until resume.\n"
}
func (*pauseCommand) SetFlags(*flag.FlagSet) {}

func (*pauseCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	return theApp(args).locked(f, (*container.Container).Pause)
}

type resumeCommand struct{}

func (*resumeCommand) Name() string     { return "resume" }
func (*resumeCommand) Synopsis() string { return "let a paused container go on" }
func (*resumeCommand) Usage() string {
	return "resume CONTAINER-ID\n\nLet the processes of a container go on that pause has stopped.\n"
}
func (*resumeCommand) SetFlags(*flag.FlagSet) {}

func (*resumeCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	return theApp(args).locked(f, (*container.Container).Resume)
}

// locked does something with the container that is a command's one argument, while it is
// locked.
func (a *app) locked(f *flag.FlagSet, do func(*container.Container) error) subcommands.ExitStatus {
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	c, err := a.env().Open(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	defer c.Unlock()
	if err := do(c); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}
