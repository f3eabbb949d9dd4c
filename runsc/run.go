package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"

	"github.com/google/subcommands"

	"casemate/runsc/bundle"
	"casemate/runsc/container"
	"casemate/runsc/sandbox"
)

// createFlags are the flags that create and run have in common.
type createFlags struct {
	bundle        string
	consoleSocket string
	pidFile       string
	preserveFDs   int
	noPivot       bool
	noNewKeyring  bool
}

func (c *createFlags) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.bundle, "bundle", ".", "`directory` of the bundle")
	f.StringVar(&c.bundle, "b", ".", "short for --bundle")
	f.StringVar(&c.consoleSocket, "console-socket", "", "`path` of a Unix socket that receives the master end of the container's terminal")
	f.StringVar(&c.pidFile, "pid-file", "", "`file` that the container's process id on the host is written to")
	f.IntVar(&c.preserveFDs, "preserve-fds", 0, "pass `N` further descriptors, from 3 on, to the container")
	f.BoolVar(&c.noPivot, "no-pivot", false, "accepted for compatibility: the container's root is the sandbox's own matter")
	f.BoolVar(&c.noNewKeyring, "no-new-keyring", false, "accepted for compatibility: the sandbox has keyrings of its own")
}

// options are those of a container called id.
func (c *createFlags) options(id string) (*container.Options, error) {
	spec, err := bundle.Load(c.bundle)
	if err != nil {
		return nil, err
	}
	return &container.Options{
		ID: id, Bundle: c.bundle, Spec: spec, PIDFile: c.pidFile, PreserveFDs: c.preserveFDs,
		Terminal: container.Terminal{ConsoleSocket: c.consoleSocket},
	}, nil
}

type runCommand struct {
	createFlags
	detach bool
	keep   bool
}

func (*runCommand) Name() string     { return "run" }
func (*runCommand) Synopsis() string { return "create and run a container" }
func (*runCommand) Usage() string {
	return `run [flags] CONTAINER-ID

Run the container that the bundle describes, and end with its exit code.

`
}

func (c *runCommand) SetFlags(f *flag.FlagSet) {
	c.createFlags.SetFlags(f)
	f.BoolVar(&c.detach, "detach", false, "return when the container runs")
	f.BoolVar(&c.detach, "d", false, "short for --detach")
	f.BoolVar(&c.keep, "keep", false, "do not delete the container when it has ended")
}

func (c *runCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	a.failed = "runsc run failed: "
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	o, err := c.options(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	if c.detach && o.Spec.Process.Terminal && c.consoleSocket == "" {
		return a.fail(errors.New("cannot allocate tty if runsc will detach without setting console socket"))
	}
	if !c.detach {
		o.Foreground, o.Keep = true, c.keep
		return a.runForeground(o)
	}
	ctr, err := a.env().Create(o)
	if err != nil {
		return a.failStart(err)
	}
	if err := ctr.Start(); err != nil {
		return a.failStart(errors.Join(err, ctr.Delete(true)))
	}
	return subcommands.ExitSuccess
}

// runForeground runs a container to its end and returns runsc's own exit code.
func (a *app) runForeground(o *container.Options) subcommands.ExitStatus {
	defer o.Terminal.Restore()
	// From here on a signal to this process is one to the container.
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	defer signal.Stop(signals)
	a.env().Sweep()
	ctr, err := a.env().Create(o)
	if err != nil {
		return a.failStart(err)
	}
	code, err := ctr.Run(o, signals)
	if !o.Keep {
		if lerr := ctr.Lock(); lerr == nil {
			err = errors.Join(err, ctr.Delete(true))
		} else if lerr != container.ErrNotExist {
			err = errors.Join(err, lerr)
		}
	}
	o.Terminal.Restore()
	if err != nil {
		return a.failStart(err)
	}
	return subcommands.ExitStatus(code)
}

// failStart is fail with the exit code that tells why a program could not run.
func (a *app) failStart(err error) subcommands.ExitStatus {
	a.fail(err)
	var refused *sandbox.Error
	switch {
	case errors.As(err, &refused) && refused.Code != 0 && a.shellCodes:
		return subcommands.ExitStatus(refused.Code)
	case errors.Is(err, sandbox.ErrDied):
		return exitDied
	}
	return exitFailure
}
