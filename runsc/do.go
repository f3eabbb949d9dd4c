package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/term"

	"casemate/runsc/bundle"
	"casemate/runsc/container"
)

type doCommand struct {
	root string
	cwd  string
}

func (*doCommand) Name() string     { return "do" }
func (*doCommand) Synopsis() string { return "run a command over the host's file system, in a sandbox" }
func (*doCommand) Usage() string {
	return `do [--root DIR] [--cwd DIR] COMMAND [ARGUMENT ...]

Run COMMAND in a sandbox that sees the host's files. What it writes stays in the
sandbox and goes with it. Any user may do this.

`
}

func (c *doCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.root, "root", "/", "`directory` that is the command's root")
	f.StringVar(&c.cwd, "cwd", "", "working `directory` of the command (default the current one, if it is below the root)")
}

func (c *doCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	if f.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "runsc: do needs a command")
		return exitFailure
	}
	root, err := filepath.Abs(c.root)
	if err != nil {
		return a.fail(err)
	}
	if info, err := os.Stat(root); err != nil || !info.IsDir() {
		return a.fail(fmt.Errorf("--root %s is not a directory", root))
	}
	if c.cwd == "" {
		c.cwd = "/"
		if wd, err := os.Getwd(); err == nil {
			if below, ok := strings.CutPrefix(wd, strings.TrimSuffix(root, "/")); ok && strings.HasPrefix(below, "/") {
				c.cwd = below
			}
		}
	}
	a.conf.Overlay2 = "root:memory"
	a.conf.IgnoreCgroups = true
	hostname, err := os.Hostname()
	if err != nil {
		return a.fail(err)
	}
	caps := bundle.CapabilityNames()
	spec := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: root},
		Hostname: hostname,
		Process: &specs.Process{
			Args:         f.Args(),
			Env:          os.Environ(),
			Cwd:          c.cwd,
			Terminal:     term.IsTerminal(0) && term.IsTerminal(1),
			Capabilities: &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps},
		},
		Mounts: standardMounts(),
		Linux:  &specs.Linux{Namespaces: standardNamespaces()},
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/run", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "mode=755"}})
	a.shellCodes = true
	return a.runForeground(&container.Options{
		ID: fmt.Sprintf("do-%d", os.Getpid()), Bundle: root, Spec: spec, HostRoot: root == "/", Foreground: true,
	})
}
