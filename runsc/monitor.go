package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/google/subcommands"
	"golang.org/x/sys/unix"

	"casemate/runsc/container"
	"casemate/runsc/control"
)

// monitorCommand is the process of the host that stands for a process in a sandbox: it gets
// the signals, and ends with the exit code. It is started by runsc with the descriptors that
// package container lists.
type monitorCommand struct{ terminal bool }

func (*monitorCommand) Name() string     { return "monitor" }
func (*monitorCommand) Synopsis() string { return "stand for a process in a sandbox" }
func (*monitorCommand) Usage() string    { return "monitor\n\nStarted by runsc itself.\n" }

func (c *monitorCommand) SetFlags(f *flag.FlagSet) {
	f.BoolVar(&c.terminal, "terminal", false, "the process has a terminal")
}

func (c *monitorCommand) Execute(_ context.Context, _ *flag.FlagSet, args ...any) subcommands.ExitStatus {
	theApp(args)
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	conn := control.NewConn(os.NewFile(container.MonitorConn, "control"), control.MaxReply)
	if c.terminal {
		if err := unix.Dup2(container.MonitorTerminal, 0); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return exitFailure
		}
		unix.Close(container.MonitorTerminal)
		// The engine may have set the size before.
		signals <- unix.SIGWINCH
	}
	go container.Forward(conn, signals, c.terminal)
	code, err := container.Await(conn)
	if err != nil {
		code = int(exitDied)
	}
	if _, err := fmt.Fprintln(os.NewFile(container.MonitorExit, "exit code"), code); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return subcommands.ExitStatus(code)
}
