package programs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// Capabilities that Docker gives a container.
var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

type object = map[string]any

func mount(destination, kind, source string, options ...string) object {
	return object{"destination": destination, "type": kind, "source": source, "options": options}
}

// newSpec returns an OCI specification that runs args over the directory "rootfs" of
// the bundle.
func newSpec(args ...string) object {
	return object{
		"ociVersion": "1.0.2",
		"process": object{
			"user":         object{"uid": 0, "gid": 0},
			"args":         args,
			"cwd":          "/",
			"env":          []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"},
			"capabilities": object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"rlimits":      []object{{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}},
		},
		"root":     object{"path": "rootfs"},
		"hostname": "box",
		"mounts": []object{
			mount("/proc", "proc", "proc"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=1048576k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
		},
		"linux": object{
			"namespaces": []object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}},
		},
	}
}

// writeSpec writes a specification into the bundle in dir.
func writeSpec(t *testing.T, dir string, spec object) {
	t.Helper()
	data, err := json.MarshalIndent(spec, "", " ")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
}

// debian returns the root file system that programs run in.
func debian(t *testing.T) string {
	t.Helper()
	root := os.Getenv("ROOTFS")
	if root == "" {
		root = "/var/cache/casemate/debian12"
	}
	if _, err := os.Stat(filepath.Join(root, "bin/bash")); err != nil {
		t.Fatalf("no Debian root file system: %v; make one by test/rootfs/build.sh DIR, or set ROOTFS", err)
	}
	return root
}

// debianBundle makes a bundle with a private copy of the Debian root file system, as an
// engine would: a writable layer over it. Where the host has no overlay, it copies.
func debianBundle(t *testing.T, spec object) string {
	t.Helper()
	lower, dir := debian(t), t.TempDir()
	root, upper, work := filepath.Join(dir, "rootfs"), filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{root, upper, work} {
		must(t, os.Mkdir(d, 0o755))
	}
	err := unix.Mount("overlay", root, "overlay", 0, "lowerdir="+lower+",upperdir="+upper+",workdir="+work)
	if err == nil {
		t.Cleanup(func() { must(t, unix.Unmount(root, unix.MNT_DETACH)) })
	} else {
		t.Logf("copying the root file system: overlay: %v", err)
		out, err := exec.Command("cp", "-a", "--reflink=auto", lower+"/.", root).CombinedOutput()
		if err != nil {
			t.Fatalf("cp: %v: %s", err, out)
		}
	}
	writeSpec(t, dir, spec)
	return dir
}
