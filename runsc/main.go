// Command runsc is Casemate's OCI runtime: it runs containers in a sandbox with a
// kernel of its own.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"runtime"

	"github.com/google/subcommands"

	"casemate/runsc/config"
	"casemate/runsc/container"
)

// version is set by the build, from git.
var version = "unknown"

// An app is what every subcommand gets.
type app struct {
	conf *config.Config
	log  *slog.Logger
	// failed begins the messages of the command, in the log and on standard error, when
	// it has failed.
	failed   string
	executed bool // a command has understood its flags
	// shellCodes has a program that cannot run end with 126 or 127; an OCI runtime has 1
	// for all that fails.
	shellCodes bool
}

// fail reports an error to the person and to the log, and returns the exit code
// that OCI engines expect of a runtime that failed.
func (a *app) fail(err error) subcommands.ExitStatus {
	a.log.Error(a.failed + err.Error())
	if a.failed == "" {
		fmt.Fprint(os.Stderr, "runsc: ")
	}
	fmt.Fprintln(os.Stderr, a.failed+err.Error())
	return exitFailure
}

// warn tells the log of what is not as it was asked for, but does not stop a container.
// Without --log it goes to standard error.
func (a *app) warn(message string) {
	a.log.Warn(message)
	if a.conf.Log == "" {
		fmt.Fprintln(os.Stderr, "runsc: warning:", message)
	}
}

const (
	exitFailure subcommands.ExitStatus = 1
	// exitDied is how run and do end when the sandbox was killed.
	exitDied subcommands.ExitStatus = 128 + 9
)

func main() {
	// Children are to die with this process, and the host ties them to the thread
	// that has started them.
	runtime.LockOSThread()
	os.Exit(int(run(os.Args[1:])))
}

// commands are all that a person or an engine uses.
var commands = []subcommands.Command{
	&createCommand{}, &debugCommand{}, &deleteCommand{}, &doCommand{}, &eventsCommand{}, &execCommand{},
	&featuresCommand{}, &installCommand{}, &killCommand{}, &listCommand{}, &pauseCommand{}, &psCommand{},
	&resumeCommand{}, &runCommand{}, &specCommand{}, &startCommand{}, &stateCommand{}, &syscallsCommand{},
	&uninstallCommand{}, &updateCommand{}, &usageCommand{}, &versionCommand{}, &waitCommand{},
}

func run(args []string) subcommands.ExitStatus {
	flags := flag.NewFlagSet("runsc", flag.ContinueOnError)
	conf := new(config.Config)
	conf.SetFlags(flags)
	showVersion := flags.Bool("version", false, "show the version")

	commander := subcommands.NewCommander(flags, "runsc")
	commander.Register(commander.HelpCommand(), "")
	commander.Register(commander.FlagsCommand(), "")
	for _, c := range commands {
		commander.Register(c, "")
	}
	for _, c := range []subcommands.Command{&bootCommand{}, &goferCommand{}, &monitorCommand{}} {
		commander.Register(c, "internal use only")
	}

	flags.Usage = func() { commander.Explain(flags.Output()) }
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return subcommands.ExitSuccess
		}
		return exitFailure
	}
	if *showVersion {
		return (&versionCommand{}).Execute(context.Background(), flags)
	}
	if err := conf.Check(); err != nil {
		fmt.Fprintln(os.Stderr, "runsc:", err)
		return exitFailure
	}
	log, closer, err := conf.OpenLog()
	if err != nil {
		fmt.Fprintln(os.Stderr, "runsc:", err)
		return exitFailure
	}
	defer closer.Close()
	if name := flags.Arg(0); name != "" && !known(commander, name) {
		fmt.Fprintf(os.Stderr, "runsc: there is no command %q; runsc help lists them\n", name)
		return exitFailure
	}
	a := &app{conf: conf, log: log}
	status := commander.Execute(context.Background(), a)
	if status == subcommands.ExitUsageError && !a.executed {
		return exitFailure
	}
	return status
}

// known reports whether there is a subcommand of that name.
func known(c *subcommands.Commander, name string) (found bool) {
	c.VisitCommands(func(_ *subcommands.CommandGroup, cmd subcommands.Command) {
		found = found || cmd.Name() == name
	})
	return found
}

// env is what the containers need of the app.
func (a *app) env() *container.Env {
	return &container.Env{Conf: a.conf, Log: a.log, Version: version, Warn: a.warn}
}

// oneArgument reports whether a command has one argument, which is what; else it says that it
// must have.
func oneArgument(f *flag.FlagSet, what string) bool {
	if f.NArg() != 1 {
		fmt.Fprintf(os.Stderr, "runsc: %s takes one argument, %s\n", f.Name(), what)
	}
	return f.NArg() == 1
}

// theApp returns the app that main has given to subcommands.
func theApp(args []any) *app {
	a := args[0].(*app)
	a.executed = true
	return a
}
