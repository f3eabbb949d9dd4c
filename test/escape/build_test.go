package escape

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var compileFlags = strings.Fields("-std=gnu11 -D_GNU_SOURCE -O1 -Wall -Wextra -Wno-unused-function -Wno-unused-result " +
	"-Wno-array-bounds -Wno-stringop-overflow -Wno-nonnull -static -pthread")

// build compiles the hostile programs into dir and returns their names.
func build(t *testing.T, dir string) []string {
	t.Helper()
	sources, err := filepath.Glob("hostile/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no programs in hostile/ (%v)", err)
	}
	var names []string
	for _, s := range sources {
		name := strings.TrimSuffix(filepath.Base(s), ".c")
		out, err := exec.Command("gcc", append(compileFlags, "-o", filepath.Join(dir, name), s)...).CombinedOutput()
		if err != nil {
			t.Fatalf("compiling %s: %v\n%s", s, err, out)
		}
		names = append(names, name)
	}
	return names
}

type object = map[string]any

var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// writeBundle makes a bundle in dir whose process has args, with the programs of bin
// on /hostile and the directory shared, if any, on /shared.
func writeBundle(t *testing.T, dir, bin, shared string, args []string) {
	t.Helper()
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "dev", "proc", "sys", "tmp", "hostile", "shared"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	busybox, err := exec.LookPath("busybox")
	must(t, err)
	data, err := os.ReadFile(busybox)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(root, "bin/sh"), data, 0o755))
	mount := func(destination, kind, source string, options ...string) object {
		return object{"destination": destination, "type": kind, "source": source, "options": options}
	}
	mounts := []object{
		mount("/proc", "proc", "proc"),
		mount("/dev", "tmpfs", "tmpfs", "nosuid", "mode=755", "size=65536k"),
		mount("/dev/pts", "devpts", "devpts", "newinstance", "ptmxmode=0666", "mode=0620"),
		mount("/sys", "sysfs", "sysfs", "ro"),
		mount("/hostile", "bind", bin, "rbind", "ro"),
	}
	if shared != "" {
		mounts = append(mounts, mount("/shared", "bind", shared, "rbind"))
	}
	spec := object{
		"ociVersion": "1.0.2",
		"process": object{
			"user": object{"uid": 0, "gid": 0}, "args": args, "cwd": "/", "env": []string{"PATH=/bin"},
			"capabilities": object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"rlimits":      []object{{"type": "RLIMIT_NOFILE", "hard": 4096, "soft": 4096}},
		},
		"root":   object{"path": "rootfs"},
		"mounts": mounts,
		"linux": object{
			"resources":  object{"pids": object{"limit": 600}, "memory": object{"limit": 1 << 30}},
			"namespaces": []object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}},
		},
	}
	text, err := json.Marshal(spec)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
