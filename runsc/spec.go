package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/subcommands"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

type specCommand struct {
	bundle   string
	cwd      string
	rootless bool
}

func (*specCommand) Name() string     { return "spec" }
func (*specCommand) Synopsis() string { return "write a config.json for a new bundle" }
func (*specCommand) Usage() string {
	return `spec [--bundle DIR] [--rootless] [-- COMMAND [ARGUMENT ...]]

Write a config.json that runs COMMAND (by default sh, with a terminal) in the
bundle's directory "rootfs".

`
}

func (c *specCommand) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.bundle, "bundle", ".", "`directory` of the bundle")
	f.StringVar(&c.bundle, "b", ".", "short for --bundle")
	f.StringVar(&c.cwd, "cwd", "/", "working `directory` of the command")
	f.BoolVar(&c.rootless, "rootless", false, "write one for a container of an ordinary user")
}

func (c *specCommand) Execute(_ context.Context, f *flag.FlagSet, args ...any) subcommands.ExitStatus {
	a := theApp(args)
	spec := exampleSpec()
	spec.Process.Cwd = c.cwd
	if c.rootless {
		forOrdinaryUser(spec)
	}
	if f.NArg() > 0 {
		spec.Process.Args = f.Args()
		spec.Process.Terminal = false
	}
	data, err := json.MarshalIndent(spec, "", "\t")
	if err != nil {
		return a.fail(err)
	}
	path := filepath.Join(c.bundle, "config.json")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, os.ErrExist) {
		return a.fail(fmt.Errorf("file %s exists. Remove it first", path))
	}
	if err != nil {
		return a.fail(err)
	}
	_, err = file.Write(append(data, '\n'))
	if err := errors.Join(err, file.Close()); err != nil {
		return a.fail(err)
	}
	return subcommands.ExitSuccess
}

// defaultCapabilities are those that runc's spec command grants.
var defaultCapabilities = []string{"CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"}

// exampleSpec returns the configuration that spec writes.
func exampleSpec() *specs.Spec {
	return &specs.Spec{
		Version: specs.Version,
		Process: &specs.Process{
			Terminal: true,
			Args:     []string{"sh"},
			Env:      []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"},
			Cwd:      "/",
			Capabilities: &specs.LinuxCapabilities{
				Bounding:  defaultCapabilities,
				Effective: defaultCapabilities,
				Permitted: defaultCapabilities,
			},
			Rlimits:         []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Hard: 1024, Soft: 1024}},
			NoNewPrivileges: true,
		},
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Hostname: "runsc",
		Mounts:   standardMounts(),
		Linux: &specs.Linux{
			Namespaces: standardNamespaces(),
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
				"/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
}

// standardNamespaces are a container's own ones.
func standardNamespaces() []specs.LinuxNamespace {
	return []specs.LinuxNamespace{
		{Type: specs.PIDNamespace}, {Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
	}
}

// forOrdinaryUser has the configuration be one that does not need root: with a user namespace,
// in which the user is root, and without a network namespace, which nobody could connect.
func forOrdinaryUser(spec *specs.Spec) {
	l := spec.Linux
	l.Namespaces = slices.DeleteFunc(l.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.NetworkNamespace })
	l.Namespaces = append(l.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	l.UIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Geteuid()), Size: 1}}
	l.GIDMappings = []specs.LinuxIDMapping{{HostID: uint32(os.Getegid()), Size: 1}}
}

// standardMounts are the mounts that every Linux container has (runtime-spec,
// config-linux.md, "Default Filesystems").
func standardMounts() []specs.Mount {
	return []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc"},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", "size=65536k"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
	}
}
