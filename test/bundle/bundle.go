// Package bundle writes OCI bundles (runtime-spec, "bundle") for the tests that run
// containers.
package bundle

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Capabilities are those that Docker gives a container.
var Capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// An Object is a JSON object of a specification. It is no struct of the specification
// so that a test can write what is wrong.
type Object = map[string]any

// Mount returns an element of a specification's mounts.
func Mount(destination, kind, source string, options ...string) Object {
	return Object{"destination": destination, "type": kind, "source": source, "options": options}
}

// Spec returns a specification as Docker writes them, which runs args as root over
// the directory "rootfs" of the bundle, with mounts after the usual ones.
func Spec(args []string, mounts ...Object) Object {
	return Object{
		"ociVersion": "1.0.2",
		"process": Object{
			"user":         Object{"uid": 0, "gid": 0},
			"args":         args,
			"cwd":          "/",
			"env":          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"},
			"capabilities": Object{"bounding": Capabilities, "effective": Capabilities, "permitted": Capabilities},
			"rlimits":      []Object{{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}},
		},
		"root":     Object{"path": "rootfs"},
		"hostname": "box",
		"mounts": append([]Object{
			Mount("/proc", "proc", "proc"),
			Mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			Mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			Mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=1048576k"),
			Mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			Mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
		}, mounts...),
		"linux": Object{
			"namespaces": []Object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}},
		},
	}
}

// Write writes a specification into the bundle in dir.
func Write(dir string, spec Object) error {
	data, err := json.MarshalIndent(spec, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644)
}

// Debian returns the root file system that ROOTFS names, or where the Makefile has
// test/rootfs/build.sh make one.
func Debian() (string, error) {
	root := os.Getenv("ROOTFS")
	if root == "" {
		root = "/var/cache/casemate/debian12"
	}
	if _, err := os.Stat(filepath.Join(root, "bin/bash")); err != nil {
		return "", fmt.Errorf("no Debian root file system: %w; make one by test/rootfs/build.sh DIR, or set ROOTFS", err)
	}
	return root, nil
}

// MountRoot makes dir/rootfs a private copy of lower, as an engine does: by a writable layer
// over it, or by copying where the host cannot do that. undo unmounts it.
func MountRoot(dir, lower string) (undo func() error, err error) {
	root, upper, work := filepath.Join(dir, "rootfs"), filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{root, upper, work} {
		if err := os.Mkdir(d, 0o755); err != nil {
			return nil, err
		}
	}
	if unix.Mount("overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work) == nil {
		return func() error { return unix.Unmount(root, unix.MNT_DETACH) }, nil
	}
	if out, err := exec.Command("cp", "-a", "--reflink=auto", lower+"/.", root).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("copying %s: %w: %s", lower, err, out)
	}
	return func() error { return nil }, nil
}
