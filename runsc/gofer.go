package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/google/subcommands"
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/runsc/bundle"
	"casemate/runsc/confine"
	"casemate/runsc/control"
	"casemate/runsc/seccomp"
)

// goferCommand is the gofer process. It is started by runsc with the descriptors
// that package control lists.
type goferCommand struct{}

func (*goferCommand) Name() string           { return "gofer" }
func (*goferCommand) Synopsis() string       { return "serve a container's files to its sandbox" }
func (*goferCommand) Usage() string          { return "gofer\n\nStarted by runsc itself.\n" }
func (*goferCommand) SetFlags(*flag.FlagSet) {}

func (*goferCommand) Execute(context.Context, *flag.FlagSet, ...any) subcommands.ExitStatus {
	if err := serveFiles(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailure
	}
	return subcommands.ExitSuccess
}

func serveFiles() error {
	var conf control.GoferConfig
	pipe := os.NewFile(control.FDGoferConfig, "configuration")
	if err := json.NewDecoder(pipe).Decode(&conf); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	pipe.Close()
	trees, err := assembleRoot(&conf)
	if err != nil {
		return err
	}
	procs, err := ownProc(conf.Scratch)
	if err != nil {
		return err
	}
	server, err := gofer.NewServer(control.FDGoferServer, procs, trees)
	if err != nil {
		return err
	}
	for _, t := range trees {
		unix.Close(t.FD)
	}
	// /proc was there for NewServer alone.
	if err := confine.EnterRoot(conf.Scratch); err != nil {
		return err
	}
	keep, err := bundle.CapabilitySet(goferCapabilities)
	if err != nil {
		return err
	}
	if err := confine.Capabilities(keep); err != nil {
		return err
	}
	if err := seccomp.Install(goferRules(trees)); err != nil {
		return err
	}
	return server.Serve()
}

// goferCapabilities are what the gofer needs to own, read and change files as the
// container's users do.
var goferCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_MKNOD", "CAP_SETFCAP",
}

// goferRules are the system calls that the gofer makes while it serves.
func goferRules(trees []gofer.Tree) []seccomp.Rule {
	rules := seccomp.GoRuntime()
	for _, call := range gofer.SyscallsNeeded(trees) {
		rule := seccomp.Rule{Nr: call.Nr}
		for _, a := range call.Args {
			rule.Args = append(rule.Args, seccomp.Arg{Index: a.Arg, Value: uint64(a.Value), Mask: uint64(a.Mask)})
		}
		rules = append(rules, rule)
	}
	return rules
}

// assembleRoot makes a new root that holds nothing but the trees, as mounts named
// by their numbers, and opens them.
func assembleRoot(conf *control.GoferConfig) ([]gofer.Tree, error) {
	if err := confine.EmptyRoot(conf.Scratch); err != nil {
		return nil, err
	}
	trees := make([]gofer.Tree, len(conf.Trees))
	for i, t := range conf.Trees {
		target := filepath.Join(conf.Scratch, strconv.Itoa(i))
		info, err := os.Stat(t.Source)
		if err != nil {
			return nil, err
		}
		if info.IsDir() {
			err = os.Mkdir(target, 0o755)
		} else {
			err = os.WriteFile(target, nil, 0o644)
		}
		if err != nil {
			return nil, err
		}
		if err := bind(t.Source, target, t.Recursive); err != nil {
			return nil, fmt.Errorf("binding %s: %w", t.Source, err)
		}
		for _, p := range t.MountPoints {
			if err := makeMountPoint(target, p); err != nil {
				return nil, fmt.Errorf("making the mount point %s: %w", p.Path, err)
			}
		}
		if err := restrict(target, t.ReadOnly); err != nil {
			return nil, fmt.Errorf("restricting the mount of %s: %w", t.Source, err)
		}
		if trees[i].FD, err = unix.Open(target, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0); err != nil {
			return nil, fmt.Errorf("opening %s: %w", t.Source, err)
		}
		trees[i].ReadOnly, trees[i].Shared = t.ReadOnly, t.Shared
	}
	return trees, nil
}

// ownProc mounts a procfs that has nothing but the processes of this pid namespace,
// which is the gofer, and returns what gofer.OpenProcs opens in it: the host's
// would lead out of the trees. dir is the new root; nothing is mounted in it
// afterwards. In a user namespace the host may refuse the mount (a container that
// hides part of its own /proc does); then it is the host's.
func ownProc(dir string) (int, error) {
	target := filepath.Join(dir, "proc")
	if err := os.Mkdir(target, 0o755); err != nil {
		return -1, err
	}
	defer os.Remove(target)
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_RDONLY
	err := unix.Mount("proc", target, "proc", flags, "hidepid=2,subset=pid")
	if err == unix.EINVAL {
		// Before Linux 5.8.
		err = unix.Mount("proc", target, "proc", flags, "hidepid=2")
	}
	if err == unix.EPERM {
		return gofer.OpenProcs("/proc")
	}
	if err != nil {
		return -1, fmt.Errorf("mounting a procfs: %w", err)
	}
	defer unix.Unmount(target, unix.MNT_DETACH)
	return gofer.OpenProcs(target)
}

// bind binds source to target. In a user namespace mounts that it did not make can
// only be bound with all that is mounted below them.
func bind(source, target string, recursive bool) error {
	if !recursive {
		err := unix.Mount(source, target, "", unix.MS_BIND, "")
		if err != unix.EINVAL {
			return err
		}
	}
	return unix.Mount(source, target, "", unix.MS_BIND|unix.MS_REC, "")
}

// restrict makes target, a mount, and all mounts below it such that no device can
// be opened by them and no program gets rights by them; read-only if that is asked
// for (mount_setattr(2)). Code from them may be mapped, whatever the host's mount says:
// it is the sandbox that knows from which of its mounts programs are run.
func restrict(target string, readOnly bool) error {
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV, Attr_clr: unix.MOUNT_ATTR_NOEXEC}
	if readOnly {
		attr.Attr_set |= unix.MOUNT_ATTR_RDONLY
	}
	err := unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr)
	if err == unix.EPERM {
		// An ordinary user cannot take noexec away.
		attr.Attr_clr = 0
		err = unix.MountSetattr(unix.AT_FDCWD, target, unix.AT_RECURSIVE, &attr)
	}
	if err == unix.ENOSYS {
		// Before Linux 5.12 only one mount at a time can be changed.
		flags := uintptr(unix.MS_REMOUNT | unix.MS_BIND | unix.MS_NOSUID | unix.MS_NODEV)
		if readOnly {
			flags |= unix.MS_RDONLY
		}
		err = unix.Mount("", target, "", flags, "")
	}
	return err
}
