package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/bundle"
	"casemate/runsc/container"
)

type execCommand struct {
	process       string
	detach        bool
	tty           bool
	consoleSocket string
	pidFile       string
	cwd           string
	env           list
	user          string
	groups        list
	caps          list
	noNewPrivs    bool
	preserveFDs   int
	ignorePaused  bool
	apparmor      string
	label         string
	cgroup        string
}

// list is a flag that may be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func (*execCommand) Name() string     { return "exec" }
func (*execCommand) Synopsis() string { return "run another process in a container" }
func (*execCommand) Usage() string {
	return `exec [flags] CONTAINER-ID COMMAND [ARGUMENT ...]
exec [flags] --process FILE CONTAINER-ID

Run another process in a running container, and end with its exit code.

`
}

func (c *execCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.process, "process", "", "`file` with the process as JSON, in the form of config.json's process")
	f.StringVar(&c.process, "p", "", "short for --process")
	f.BoolVar(&c.detach, "detach", false, "return when the process runs")
	f.BoolVar(&c.detach, "d", false, "short for --detach")
	f.BoolVar(&c.tty, "tty", false, "give the process a terminal")
	f.BoolVar(&c.tty, "t", false, "short for --tty")
	f.StringVar(&c.consoleSocket, "console-socket", "", "`path` of a Unix socket that receives the master end of the process's terminal")
	f.StringVar(&c.pidFile, "pid-file", "", "`file` that the process id on the host is written to")
	f.StringVar(&c.cwd, "cwd", "", "working `directory`")
	f.Var(&c.env, "env", "`NAME=VALUE` for the environment; may be repeated")
	f.Var(&c.env, "e", "short for --env")
	f.StringVar(&c.user, "user", "", "`UID[:GID]` of the process")
	f.StringVar(&c.user, "u", "", "short for --user")
	f.Var(&c.groups, "additional-gids", "further `GID`; may be repeated")
	f.Var(&c.groups, "g", "short for --additional-gids")
	f.Var(&c.caps, "cap", "`capability` that the process has besides; may be repeated")
	f.Var(&c.caps, "c", "short for --cap")
	f.BoolVar(&c.noNewPrivs, "no-new-privs", false, "set no_new_privs")
	f.IntVar(&c.preserveFDs, "preserve-fds", 0, "pass `N` further descriptors, from 3 on, to the process")
	f.BoolVar(&c.ignorePaused, "ignore-paused", false, "start the process in a paused container, where it runs when the container is resumed")
	f.StringVar(&c.apparmor, "apparmor", "", "accepted for compatibility: `profiles` do not apply in a sandbox")
	f.StringVar(&c.label, "process-label", "", "accepted for compatibility: `labels` do not apply in a sandbox")
	f.StringVar(&c.cgroup, "cgroup", "", "`cgroup` of the process, which can only be the container's own: /")
}

func (c *execCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	a.failed = "exec failed: "
	if f.NArg() < 1 {
		fmt.Fprintln(os.Stderr, "runsc: exec needs a container's id")
		return exitFailure
	}
	if f.NArg() == 1 && c.process == "" {
		return a.failExec(errors.New("process args cannot be empty"))
	}
	if c.cgroup != "" && path.Clean("/"+c.cgroup) != "/" {
		return a.failExec(fmt.Errorf("no cgroup %q in the container: what is in a sandbox is in one cgroup of the host", c.cgroup))
	}
	ctr, err := a.env().Load(f.Arg(0))
	if err != nil {
		return a.failExec(err)
	}
	process, err := c.makeProcess(ctr, f.Args()[1:])
	if err != nil {
		return a.failExec(err)
	}
	signals := make(chan os.Signal, 128)
	signal.Notify(signals)
	defer signal.Stop(signals)
	code, err := ctr.Exec(&container.ExecOptions{
		Process: process, Terminal: container.Terminal{ConsoleSocket: c.consoleSocket}, PreserveFDs: c.preserveFDs, IgnorePaused: c.ignorePaused,
		Detach: c.detach, PIDFile: c.pidFile,
	}, signals)
	if err != nil {
		return a.failExec(err)
	}
	return subcommands.ExitStatus(code)
}

// failExec is failStart with runc's exit code for what else can go wrong in exec.
func (a *app) failExec(err error) subcommands.ExitStatus {
	const exitExec = 255
	if code := a.failStart(err); code != exitFailure {
		return code
	}
	return exitExec
}

// makeProcess is the process that the flags describe: that of --process, or the container's own
// with changes.
func (c *execCommand) makeProcess(ctr *container.Container, args []string) (*specs.Process, error) {
	p := new(specs.Process)
	if c.process != "" {
		data, err := os.ReadFile(c.process)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(data, p); err != nil {
			return nil, fmt.Errorf("parsing %s: %w", c.process, err)
		}
		return p, bundle.CheckProcess(p)
	}
	spec, err := ctr.Spec()
	if err != nil {
		return nil, err
	}
	p = spec.Process
	p.Args = args
	p.Terminal = c.tty
	if c.cwd != "" {
		p.Cwd = c.cwd
	}
	p.Env = append(p.Env, c.env...)
	if c.noNewPrivs {
		p.NoNewPrivileges = true
	}
	if len(c.caps) > 0 {
		if p.Capabilities == nil {
			p.Capabilities = new(specs.LinuxCapabilities)
		}
		// As runc has it: not ambient, for the process would keep them as another user.
		for _, set := range []*[]string{&p.Capabilities.Bounding, &p.Capabilities.Effective, &p.Capabilities.Permitted} {
			*set = append(*set, c.caps...)
		}
	}
	if c.user != "" {
		if err := parseUser(c.user, &p.User); err != nil {
			return nil, err
		}
	}
	for _, g := range c.groups {
		gid, err := strconv.Atoi(g)
		if err != nil {
			return nil, fmt.Errorf("parsing %s as int for gid failed: %w", g, err)
		}
		p.User.AdditionalGids = append(p.User.AdditionalGids, uint32(gid))
	}
	return p, bundle.CheckProcess(p)
}

// parseUser takes UID[:GID].
func parseUser(s string, u *specs.User) error {
	uid, gid, both := strings.Cut(s, ":")
	n, err := strconv.Atoi(uid)
	if err != nil {
		return fmt.Errorf("parsing %s as int for uid failed: %w", uid, err)
	}
	u.UID = uint32(n)
	if both {
		if n, err = strconv.Atoi(gid); err != nil {
			return fmt.Errorf("parsing %s as int for gid failed: %w", gid, err)
		}
		u.GID = uint32(n)
	}
	return nil
}
