package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/google/subcommands"

	"casemate/runsc/control"
)

type debugCommand struct {
	stacks   bool
	strace   string
	logLevel string
	ps       bool
	cpu      string
	heap     string
	duration time.Duration
}

func (*debugCommand) Name() string     { return "debug" }
func (*debugCommand) Synopsis() string { return "look into a sandbox" }
func (*debugCommand) Usage() string {
	return `debug [flags] CONTAINER-ID

Show the stacks of a container's sandbox, make profiles of it for go tool pprof, or change
what it writes to its debug log.

`
}

func (c *debugCommand) SetFlags(f *flag.FlagSet) {
	f.BoolVar(&c.stacks, "stacks", false, "show the stacks of all goroutines")
	f.StringVar(&c.strace, "strace", "", "log every system call: `on` or off")
	f.StringVar(&c.logLevel, "log-level", "", "`level` of the debug log: debug, info or warning")
	f.BoolVar(&c.ps, "ps", false, "list the processes")
	f.StringVar(&c.cpu, "profile-cpu", "", "`file` that a profile of the CPU time is written to")
	f.StringVar(&c.heap, "profile-heap", "", "`file` that a profile of the memory is written to")
	f.DurationVar(&c.duration, "duration", 10*time.Second, "`time` that the CPU profile takes")
}

func (c *debugCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if !oneArgument(f, "the container's id") {
		return exitFailure
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.fail(err)
	}
	if c.duration <= 0 {
		return a.fail(errors.New("--duration must be more than 0"))
	}
	d := &control.Debug{Stacks: c.stacks, Level: c.logLevel}
	switch c.strace {
	case "":
	case "on", "off":
		on := c.strace == "on"
		d.Strace = &on
	default:
		on, err := strconv.ParseBool(c.strace)
		if err != nil {
			return a.fail(fmt.Errorf("invalid value %q for --strace: it must be on or off", c.strace))
		}
		d.Strace = &on
	}
	var files []*os.File
	for _, name := range []string{c.cpu, c.heap} {
		if name == "" {
			continue
		}
		file, err := os.Create(name)
		if err != nil {
			return a.fail(err)
		}
		defer file.Close()
		files = append(files, file)
	}
	if c.cpu != "" {
		d.ProfileCPU = c.duration
	}
	d.ProfileHeap = c.heap != ""
	text, err := ctr.Debug(d, files...)
	if err != nil {
		return a.fail(err)
	}
	fmt.Print(text)
	if c.ps {
		processes, err := ctr.Processes()
		if err != nil {
			return a.fail(err)
		}
		for _, p := range processes {
			fmt.Printf("%d\t%d\t%s\n", p.PID, p.PPID, p.Command)
		}
	}
	return subcommands.ExitSuccess
}
