package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/google/subcommands"

	"casemate/runsc/container"
)

type deleteCommand struct{ force bool }

func (*deleteCommand) Name() string     { return "delete" }
func (*deleteCommand) Synopsis() string { return "delete containers that have stopped" }
func (*deleteCommand) Usage() string {
	return `delete [--force] CONTAINER-ID ...

Remove all that is left of containers that have stopped or have not been started.

`
}

func (c *deleteCommand) SetFlags(f *flag.FlagSet) {
	f.BoolVar(&c.force, "force", false, "kill a container that runs; it is no error if there is none")
	f.BoolVar(&c.force, "f", false, "short for --force")
}

func (c *deleteCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "runsc: delete needs the id of a container")
		return exitFailure
	}
	status := subcommands.ExitSuccess
	for _, id := range f.Args() {
		if err := c.delete(a, id); err != nil {
			status = a.fail(err)
		}
	}
	return status
}

func (c *deleteCommand) delete(a *app, id string) error {
	ctr, err := a.env().Open(id)
	if errors.Is(err, container.ErrNotExist) && c.force {
		return a.env().Forget(id)
	}
	if err != nil {
		return err
	}
	return ctr.Delete(c.force)
}
