// Package config holds the global options of runsc: what the flags before the
// subcommand say.
package config

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Config is what the global flags say. It is handed to the sandbox as JSON.
type Config struct {
	Root          string // directory of container state
	Log           string // file for errors and warnings, as engines read it; "" is stderr
	LogFormat     string // text or json
	Debug         bool   // more lines in the debug log
	DebugLog      string // file, or directory if it ends in a slash; see DebugLogPath
	Platform      string // auto, systrap or ptrace
	Network       string // sandbox, none or host
	Overlay2      string // none, or {root|all}:{memory|self|dir=/DIR}; see Overlay
	FileAccess    string // exclusive or shared, for the root file system
	Strace        bool   // log each system call to the debug log
	OCISeccomp    bool   // apply linux.seccomp inside
	IgnoreCgroups bool
	// SystemdCgroup has systemd make the cgroups.
	SystemdCgroup bool
	Rootless      bool
	// AllowHostNetwork lets a container whose configuration asks for the host's network have
	// sockets of the host.
	AllowHostNetwork bool
	NetworkOptions
}

// SetFlags registers the global flags in f.
func (c *Config) SetFlags(f *flag.FlagSet) {
	f.StringVar(&c.Root, "root", "", "`directory` for container state (default /run/runsc, or $XDG_RUNTIME_DIR/runsc for an ordinary user, also as root of a user namespace)")
	f.StringVar(&c.Log, "log", "", "`file` for errors and warnings (default standard error)")
	f.StringVar(&c.LogFormat, "log-format", "text", "`format` of --log: text or json")
	f.BoolVar(&c.Debug, "debug", false, "log debug messages")
	f.StringVar(&c.DebugLog, "debug-log", "", "`file` for the sandbox's debug log, or a directory if it ends in /; %ID%, %COMMAND% and %TIMESTAMP% are replaced")
	f.StringVar(&c.Platform, "platform", "auto", "what runs application code: auto, systrap or ptrace")
	f.StringVar(&c.Network, "network", "sandbox", "network: sandbox, none or host")
	f.BoolVar(&c.AllowHostNetwork, "allow-host-network", true, "serve a container whose configuration asks for the host's network (--network=host of an engine) with sockets of the host")
	f.StringVar(&c.Overlay2, "overlay2", "none", "where writes go: none (to the root file system itself), or {root|all}:{memory|self|dir=/DIR}: to an overlay of the root or of bind mounts too, which is kept in memory, or in a file of the host in the same directory or in DIR")
	c.NetworkOptions.setFlags(f)
	f.StringVar(&c.FileAccess, "file-access", "exclusive", "who changes the root file system: exclusive (only the sandbox) or shared (the host too)")
	f.BoolVar(&c.Strace, "strace", false, "log every system call to the debug log")
	f.BoolVar(&c.OCISeccomp, "oci-seccomp", true, "apply the seccomp profile of the configuration inside the sandbox")
	f.BoolVar(&c.SystemdCgroup, "systemd-cgroup", false, "have systemd make the cgroup: linux.cgroupsPath is SLICE:PREFIX:NAME")
	f.BoolVar(&c.IgnoreCgroups, "ignore-cgroups", false, "do not set up cgroups")
	f.BoolVar(&c.Rootless, "rootless", os.Geteuid() != 0, "run as an ordinary user, in a user namespace")
}

func oneOf(flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("invalid value %q for --%s: it must be one of %s", value, flag, strings.Join(allowed, ", "))
}

// ownDirectory makes sure that path, in a directory where everybody may make files, is
// a directory of this user's that nobody else can change.
func ownDirectory(path string) error {
	if err := os.Mkdir(path, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("creating the state directory: %w", err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("looking at the state directory: %w", err)
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(st.Uid) != os.Geteuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that only you can change: remove it, or give --root or XDG_RUNTIME_DIR", path)
	}
	return nil
}

// runtimeDir is the variable that names a user's own directory in /run (XDG Base Directory
// Specification).
const runtimeDir = "XDG_RUNTIME_DIR"

// ordinaryUser reports whether the user has no rights in /run itself: one who is not root, or
// is it only in a user namespace, as rootless Podman has it.
func ordinaryUser() bool {
	return os.Geteuid() != 0 || os.Getenv(runtimeDir) != "" && os.Getenv("USER") != "root" && InUserNamespace()
}

// InUserNamespace reports whether this process is in a user namespace other than the host's
// (user_namespaces(7), "User and group ID mappings").
func InUserNamespace() bool {
	data, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		return false // the kernel has no user namespaces
	}
	return !slices.Equal(strings.Fields(string(data)), []string{"0", "0", "4294967295"})
}

// Check validates the options and fills in defaults that depend on the user.
func (c *Config) Check() error {
	if c.Root == "" {
		c.Root = "/run/runsc"
		if ordinaryUser() {
			dir := os.Getenv(runtimeDir)
			if dir == "" {
				dir = filepath.Join(os.TempDir(), fmt.Sprintf("runsc-%d", os.Geteuid()))
				if err := ownDirectory(dir); err != nil {
					return err
				}
			}
			c.Root = filepath.Join(dir, "runsc")
		}
	}
	root, err := filepath.Abs(c.Root)
	if err != nil {
		return fmt.Errorf("--root %q: %w", c.Root, err)
	}
	c.Root = root
	for _, err := range []error{
		oneOf("log-format", c.LogFormat, "text", "json"),
		oneOf("platform", c.Platform, "auto", "systrap", "ptrace"),
		oneOf("network", c.Network, "sandbox", "none", "host"),
		c.checkOverlay(),
		c.NetworkOptions.check(),
		oneOf("file-access", c.FileAccess, "exclusive", "shared"),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkOverlay() error {
	which, medium, _ := strings.Cut(c.Overlay2, ":")
	dir, isDir := strings.CutPrefix(medium, "dir=")
	if c.Overlay2 == "none" || (which == "root" || which == "all") && (medium == "memory" || medium == "self" || isDir && filepath.IsAbs(dir)) {
		return nil
	}
	return fmt.Errorf("invalid value %q for --overlay2: it must be none or {root|all}:{memory|self|dir=/DIR}", c.Overlay2)
}

// Overlay tells of which trees (the root file system is root) writes go to an overlay,
// and the directory in which a tree that comes from source has its file store: "" if
// it is kept in memory.
func (c *Config) Overlay(root bool, source string) (overlay bool, store string) {
	which, medium, _ := strings.Cut(c.Overlay2, ":")
	if which != "all" && !(which == "root" && root) {
		return false, ""
	}
	if dir, ok := strings.CutPrefix(medium, "dir="); ok {
		return true, dir
	}
	if medium == "self" {
		return true, source
	}
	return true, ""
}

// DebugLogPath returns the file that --debug-log names for a command and a
// container, or "" if there is none.
func (c *Config) DebugLogPath(command, id, timestamp string) string {
	if c.DebugLog == "" {
		return ""
	}
	path := c.DebugLog
	if strings.HasSuffix(path, "/") {
		path += "runsc.log.%TIMESTAMP%.%COMMAND%.txt"
	}
	return strings.NewReplacer("%ID%", id, "%COMMAND%", command, "%TIMESTAMP%", timestamp).Replace(path)
}
