package oracle

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Capabilities that Docker gives a container.
var capabilities = []string{
	"CAP_AUDIT_WRITE", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID",
	"CAP_KILL", "CAP_MKNOD", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SETFCAP",
	"CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

type object = map[string]any

// writeBundle makes an OCI bundle in dir that runs args: a root file system with a shell,
// the dynamic loader and the C library, and the directory bin bind-mounted on /oracle.
func writeBundle(t *testing.T, dir, bin string, env, args []string) {
	t.Helper()
	root := filepath.Join(dir, "rootfs")
	for _, d := range []string{"bin", "dev", "etc", "lib/x86_64-linux-gnu", "lib64", "oracle", "proc", "root", "sys", "tmp", "tmpfs"} {
		must(t, os.MkdirAll(filepath.Join(root, d), 0o755))
	}
	must(t, os.Chmod(filepath.Join(root, "tmp"), 0o1777))
	must(t, os.WriteFile(filepath.Join(root, "etc/passwd"),
		[]byte("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n"), 0o644))
	must(t, os.WriteFile(filepath.Join(root, "etc/group"), []byte("root:x:0:\nnogroup:x:65534:\n"), 0o644))
	busybox, err := exec.LookPath("busybox")
	must(t, err)
	install(t, busybox, filepath.Join(root, "bin/sh"))
	install(t, "/lib64/ld-linux-x86-64.so.2", filepath.Join(root, "lib64/ld-linux-x86-64.so.2"))
	install(t, libc(t), filepath.Join(root, "lib/x86_64-linux-gnu/libc.so.6"))

	mount := func(destination, kind, source string, options ...string) object {
		return object{"destination": destination, "type": kind, "source": source, "options": options}
	}
	spec := object{
		"ociVersion": "1.0.2",
		"process": object{
			"user":         object{"uid": 0, "gid": 0},
			"args":         args,
			"cwd":          "/tmp",
			"env":          append([]string{"PATH=/bin"}, env...),
			"capabilities": object{"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
			"rlimits":      []object{{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}},
		},
		"root":     object{"path": "rootfs"},
		"hostname": "oracle",
		"mounts": []object{
			mount("/proc", "proc", "proc"),
			mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
			mount("/dev/pts", "devpts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
			mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=1048576k"),
			mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
			mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
			mount("/tmpfs", "tmpfs", "tmpfs", "mode=1777", "size=1048576k"),
			mount("/oracle", "bind", bin, "rbind", "ro"),
		},
		"linux": object{
			"namespaces": []object{{"type": "pid"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}, {"type": "network"}},
		},
	}
	data, err := json.MarshalIndent(spec, "", " ")
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), data, 0o644))
}

// libc returns the path of the host's C library, which the dynamically linked programs need.
func libc(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("gcc", "-print-file-name=libc.so.6").Output()
	must(t, err)
	return strings.TrimSpace(string(out))
}

// install copies an executable.
func install(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	must(t, err)
	must(t, os.WriteFile(to, data, 0o755))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
