package run

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func ptr[T any](v T) *T { return &v }

// sameCases print and end the same under runc and under runsc.
var sameCases = []struct {
	name   string
	script string
	change func(t *testing.T, b *bundle)
}{
	{"user", `id; umask; grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status; touch /tmp/f; stat -c '%u %g %a' /tmp/f`,
		func(t *testing.T, b *bundle) {
			b.spec.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 7, 2000}, Umask: ptr(uint32(0o027))}
			b.spec.Process.Args[2] = "id -u; id -G; umask; grep -E '^(Uid|Gid|Groups|Umask)' /proc/self/status; touch /tmp/f; stat -c '%u %g %a' /tmp/f; echo x >/root/x 2>/dev/null; echo $?"
		}},
	{"capabilities of root", `grep -E '^(Cap|NoNew)' /proc/self/status`, nil},
	{"capabilities of a user", `grep -E '^(Cap|NoNew)' /proc/self/status`, func(t *testing.T, b *bundle) {
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	}},
	{"ambient capabilities", `grep -E '^(Cap|NoNew)' /proc/self/status`, func(t *testing.T, b *bundle) {
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		few := []string{"CAP_NET_BIND_SERVICE", "CAP_KILL"}
		c := b.spec.Process.Capabilities
		c.Inheritable, c.Ambient = few, few
		b.spec.Process.NoNewPrivileges = true
	}},
	{"ambient capability that is not inheritable", `grep -E '^Cap' /proc/self/status`, func(t *testing.T, b *bundle) {
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		b.spec.Process.Capabilities.Inheritable = []string{"CAP_KILL"}
		b.spec.Process.Capabilities.Ambient = []string{"CAP_KILL"}
	}},
	{"no capabilities", `grep -E '^Cap' /proc/self/status; chown 1 /tmp 2>&1`, func(t *testing.T, b *bundle) {
		b.spec.Process.Capabilities = &specs.LinuxCapabilities{}
	}},
	{"setuid program", ``, setuidBusybox},
	{"setuid program with noNewPrivileges", ``, func(t *testing.T, b *bundle) {
		setuidBusybox(t, b)
		b.spec.Process.NoNewPrivileges = true
	}},
	{"file capabilities", ``, func(t *testing.T, b *bundle) {
		fileCapabilities(t, b)
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	}},
	{"file capabilities with noNewPrivileges", ``, func(t *testing.T, b *bundle) {
		fileCapabilities(t, b)
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		b.spec.Process.NoNewPrivileges = true
	}},
	{"rlimits", `grep -E 'open files|file size|stack|core|processes' /proc/self/limits; ulimit -n; ulimit -Hn; ulimit -s; ulimit -c`,
		func(t *testing.T, b *bundle) {
			b.spec.Process.Rlimits = []specs.POSIXRlimit{
				{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_FSIZE", Soft: 1 << 20, Hard: 1 << 30},
				{Type: "RLIMIT_CORE", Soft: 0, Hard: 0}, {Type: "RLIMIT_STACK", Soft: 4 << 20, Hard: ^uint64(0)}, {Type: "RLIMIT_NPROC", Soft: 500, Hard: 600},
			}
		}},
	{"environment", `env | sort`, func(t *testing.T, b *bundle) {
		b.spec.Process.Env = append(b.spec.Process.Env, "A=b c", "EMPTY=", "UNICODE=ü€", "NL=a\nb", "A=second")
	}},
	{"program found by PATH", ``, func(t *testing.T, b *bundle) { b.spec.Process.Args = []string{"echo", "found"} }},
	{"working directory", `pwd; readlink /proc/self/cwd`, func(t *testing.T, b *bundle) {
		must(t, os.MkdirAll(b.rootfs("srv/deep"), 0o755))
		must(t, os.Symlink("deep", b.rootfs("srv/link")))
		b.spec.Process.Cwd = "/srv/link"
	}},
	{"working directory that does not exist", `pwd; stat -c '%a %u' .`, func(t *testing.T, b *bundle) { b.spec.Process.Cwd = "/no/such/dir" }},
	{"working directory is a file", `pwd`, func(t *testing.T, b *bundle) {
		b.spec.Process.Cwd = "/etc/passwd"
	}},
	{"host and domain name", `hostname; cat /proc/sys/kernel/hostname; uname -n`, func(t *testing.T, b *bundle) {
		b.spec.Hostname = "a-longer.host.name"
	}},
	{"bind mounts", `cat /a/f; echo x >/a/new; cat /a/new; echo y >/b/new 2>/dev/null || echo refused; cat /file; echo changed >/file; cat /file; cat /a/inner/f; ls /b/sub`,
		func(t *testing.T, b *bundle) {
			a, c := filepath.Join(b.dir, "a"), filepath.Join(b.dir, "c")
			must(t, os.MkdirAll(a, 0o755))
			must(t, os.MkdirAll(filepath.Join(c, "sub"), 0o755))
			must(t, os.WriteFile(filepath.Join(a, "f"), []byte("in a\n"), 0o644))
			must(t, os.WriteFile(filepath.Join(c, "f"), []byte("in c\n"), 0o644))
			must(t, os.WriteFile(filepath.Join(b.dir, "single"), []byte("single\n"), 0o644))
			b.spec.Mounts = append(b.spec.Mounts, mount("/a", "bind", a, "rbind", "rw"), mount("/b", "bind", c, "bind", "ro"),
				mount("/file", "bind", "single", "bind"), mount("/a/inner", "none", c, "bind"))
		}},
	{"file bind mount over a file that is there", `cat /etc/passwd; stat -c %a /etc/passwd; rm /etc/passwd 2>/dev/null || echo busy; mv /etc/passwd /etc/p 2>/dev/null || echo busy`,
		func(t *testing.T, b *bundle) {
			must(t, os.WriteFile(filepath.Join(b.dir, "single"), []byte("single\n"), 0o640))
			b.spec.Mounts = append(b.spec.Mounts, mount("/etc/passwd", "bind", filepath.Join(b.dir, "single"), "rbind", "rprivate"))
		}},
	{"mount on a symbolic link", `ls -l /link | sed 's/.*link/link/'; ls /target /etc/abs /outside 2>&1; cut -d' ' -f5 /proc/self/mountinfo`,
		func(t *testing.T, b *bundle) {
			must(t, os.MkdirAll(b.rootfs("target"), 0o755))
			must(t, os.Symlink("target", b.rootfs("link")))
			must(t, os.Symlink("/etc/abs", b.rootfs("absolute")))
			must(t, os.MkdirAll(b.rootfs("etc/abs"), 0o755))
			must(t, os.Symlink("../../../../../outside", b.rootfs("up")))
			must(t, os.MkdirAll(b.rootfs("outside"), 0o755))
			a := filepath.Join(b.dir, "a")
			must(t, os.MkdirAll(filepath.Join(a, "here"), 0o755))
			b.spec.Mounts = append(b.spec.Mounts, mount("/link", "bind", a, "bind"), mount("/absolute", "bind", a, "bind"), mount("/up", "bind", a, "bind"))
		}},
	{"mount over what is not there", `ls /x/y/z; stat -c '%a %u %g' /x /x/y; stat -c '%a %F' /x/file`,
		func(t *testing.T, b *bundle) {
			a := filepath.Join(b.dir, "a")
			must(t, os.MkdirAll(filepath.Join(a, "here"), 0o755))
			must(t, os.WriteFile(filepath.Join(b.dir, "single"), []byte("single\n"), 0o640))
			b.spec.Mounts = append(b.spec.Mounts, mount("/x/y/z", "bind", a, "bind"), mount("/x/file", "bind", filepath.Join(b.dir, "single"), "bind"))
		}},
	{"options of tmpfs", `stat -c '%a %u %g' /t; grep ' /t ' /proc/self/mountinfo | cut -d' ' -f5-; df -k /t | tail -1 | awk '{print $2}'; dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || echo full; stat -c %s /t/f`,
		func(t *testing.T, b *bundle) {
			b.spec.Mounts = append(b.spec.Mounts, mount("/t", "tmpfs", "mine", "size=1m", "mode=0750", "uid=1000", "gid=1001", "noexec", "nosuid"))
		}},
	{"mountinfo of the standard mounts", `cut -d' ' -f4- /proc/self/mountinfo; head -1 /proc/self/mounts`, nil},
	{"mountinfo of bind mounts", `cut -d' ' -f4- /proc/self/mountinfo; cat /proc/self/mounts`, func(t *testing.T, b *bundle) {
		a := filepath.Join(b.dir, "a dir")
		must(t, os.MkdirAll(a, 0o755))
		must(t, os.WriteFile(filepath.Join(b.dir, "single"), []byte("single\n"), 0o640))
		b.spec.Mounts = append(b.spec.Mounts, mount("/a", "bind", a, "rbind", "ro", "nosuid"), mount("/f", "bind", filepath.Join(b.dir, "single"), "bind", "noexec"),
			mount("/host-shm", "bind", "/dev/shm", "bind", "ro"), mount("/again", "bind", a, "bind"), mount("/strict", "bind", a, "bind", "strictatime"))
	}},
	{"read-only root", `touch /f 2>&1; echo x >/dev/shm/f && cat /dev/shm/f; head -1 /proc/self/mountinfo | cut -d' ' -f4-`, func(t *testing.T, b *bundle) {
		b.spec.Root.Readonly = true
	}},
	{"masked and read-only paths", `cat /proc/cmdline | wc -c; ls -A /sys/firmware /hidden; cat /secret; echo x >/proc/sys/kernel/hostname; echo $?; touch /fixed/x; echo $?; cat /fixed/f; stat -c %a /hidden; cut -d' ' -f4- /proc/self/mountinfo`,
		func(t *testing.T, b *bundle) {
			must(t, os.MkdirAll(b.rootfs("hidden/x"), 0o755))
			must(t, os.MkdirAll(b.rootfs("fixed"), 0o755))
			must(t, os.WriteFile(b.rootfs("fixed/f"), []byte("fixed\n"), 0o644))
			must(t, os.WriteFile(b.rootfs("secret"), []byte("secret\n"), 0o644))
			b.spec.Linux.MaskedPaths = []string{"/proc/cmdline", "/sys/firmware", "/hidden", "/secret", "/not/there"}
			b.spec.Linux.ReadonlyPaths = []string{"/proc/sys", "/fixed", "/not/there"}
		}},
	{"devices", `ls -l /dev | grep -v ^total | grep -v kcore | awk '{print $1,$3,$4,$NF}' | sort; stat -c '%F %t %T %a %u %g' /dev/mine /dev/sub/fifo /dev/blk; echo x >/dev/null && head -c 3 /dev/zero | wc -c; echo a >/dev/full`,
		func(t *testing.T, b *bundle) {
			b.spec.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/mine", Type: "c", Major: 1, Minor: 5, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(7)), GID: ptr(uint32(8))},
				{Path: "/dev/sub/fifo", Type: "p", FileMode: ptr(os.FileMode(0o600))},
				{Path: "/dev/blk", Type: "b", Major: 7, Minor: 200, FileMode: ptr(os.FileMode(0o660)), UID: ptr(uint32(0)), GID: ptr(uint32(6))},
			}
		}},
	{"loopback interface", `ip addr; ifconfig -a; cat /proc/net/dev | wc -l; ip route; mkfifo /dev/shm/open; nc -l -p 80 <>/dev/shm/open & until echo hello | nc 127.0.0.1 80 2>/dev/null; do sleep 0.1; done; wait`, nil},
	{"loopback interface in sysfs", `cd /sys/class/net; ls; readlink lo; cd lo; ls statistics; for f in address broadcast addr_len carrier dormant flags ifindex iflink mtu operstate tx_queue_len type uevent speed duplex; do echo "$f $(cat $f 2>&1)"; done; stat -c '%a %s' address statistics; echo 1 >mtu`, nil},
	{"sysfs that is writable", `touch /s/class/x; mkdir /s/class/y; cat /sys/devices/system/cpu/online /sys/devices/system/cpu/present; ls -d /sys/kernel /sys/fs/cgroup /sys/firmware /sys/nonesuch`, func(_ *testing.T, b *bundle) {
		b.spec.Mounts = append(b.spec.Mounts, mount("/s", "sysfs", "sysfs", "ro"))
	}},
	{"sysctl", `cd /proc/sys/net; cat ipv4/ip_forward ipv4/ip_unprivileged_port_start ipv4/ping_group_range core/somaxconn ipv4/tcp_keepalive_time; cat /proc/sys/kernel/domainname`, func(_ *testing.T, b *bundle) {
		b.spec.Linux.Sysctl = map[string]string{
			"net.ipv4.ip_forward": "1", "net.ipv4.ip_unprivileged_port_start": "0", "net.ipv4.ping_group_range": "0 2147483647",
			"net/core/somaxconn": "1000", "net.ipv4.tcp_keepalive_time": "600", "kernel.domainname": "example.org",
		}
		b.spec.Linux.ReadonlyPaths = []string{"/proc/sys"}
	}},
	{"host name in proc", `echo new >/proc/sys/kernel/hostname; hostname; unshare -u sh -c 'hostname inner; cat /proc/sys/kernel/hostname; echo d >/proc/sys/kernel/domainname; cat /proc/sys/kernel/domainname'; cat /proc/sys/kernel/hostname; echo 0123456789012345678901234567890123456789012345678901234567890123456789 >/proc/sys/kernel/hostname; hostname; su nobody -c 'echo x >/proc/sys/kernel/hostname'`, func(_ *testing.T, b *bundle) {
		c := b.spec.Process.Capabilities
		admin := append([]string{"CAP_SYS_ADMIN"}, c.Bounding...)
		c.Bounding, c.Permitted, c.Effective = admin, admin, admin
	}},
	{"hidden processes", `grep -E ' /p[0-9]' /proc/self/mountinfo | cut -d' ' -f4-; cat >/tmp/look <<'END'
for p in /p1 /p2 /p3 /p4 /p5; do echo $p; ls -d $p/1; cat $p/1/comm; stat -c '%a %u' $p/1; cat $p/self/comm; ls $p | grep -c '^1$'; ls $p | grep -E '^(self|uptime|sys|mounts)$'; cat $p/nonesuch; done
END
sh /tmp/look 2>&1; su nobody -c 'sh /tmp/look' 2>&1`, func(_ *testing.T, b *bundle) {
		for i, options := range [][]string{{"hidepid=1"}, {"hidepid=invisible"}, {"hidepid=2", "gid=65534"}, {"hidepid=ptraceable", "nosuid"}, {"subset=pid"}} {
			b.spec.Mounts = append(b.spec.Mounts, mount(fmt.Sprintf("/p%d", i+1), "proc", "proc", options...))
		}
	}},
	{"tmpfs over what is there", `stat -c '%n %a %u' /d /e /x; grep ' /[dex] ' /proc/self/mountinfo | cut -d' ' -f4-; ls -lR /d | awk '{print $1,$3,$4,$5,$9,$10,$11}'; cat /d/file`, func(t *testing.T, b *bundle) {
		must(t, os.MkdirAll(b.rootfs("d/sub"), 0o755))
		must(t, os.Mkdir(b.rootfs("e"), 0o755))
		must(t, os.Chmod(b.rootfs("d"), 0o750))
		must(t, os.Chmod(b.rootfs("e"), 0o1705|os.ModeSticky))
		must(t, os.WriteFile(b.rootfs("d/file"), []byte("hello\n"), 0o644))
		must(t, os.Chown(b.rootfs("d/file"), 7, 8))
		must(t, os.Chmod(b.rootfs("d/file"), 0o711|os.ModeSetuid))
		must(t, os.WriteFile(b.rootfs("d/sub/big"), make([]byte, 300000), 0o600))
		must(t, os.Symlink("a/b", b.rootfs("d/link")))
		b.spec.Mounts = append(b.spec.Mounts, mount("/d", "tmpfs", "tmpfs", "tmpcopyup", "nosuid"), mount("/e", "tmpfs", "tmpfs", "size=1m"), mount("/x", "tmpfs", "tmpfs"))
	}},
	{"flags of the host's mount", `grep ' /m[0-9] ' /proc/self/mountinfo | cut -d' ' -f4-; /m1/true; echo $?; /m4/true; echo $?`, func(t *testing.T, b *bundle) {
		dir := filepath.Join(b.dir, "host")
		must(t, os.Mkdir(dir, 0o755))
		must(t, unix.Mount("source", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NOATIME, "size=8m"))
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		busybox, err := os.ReadFile(b.rootfs("bin/busybox"))
		must(t, err)
		must(t, os.Mkdir(filepath.Join(dir, "x"), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, "x", "true"), busybox, 0o755))
		x := filepath.Join(dir, "x")
		b.spec.Mounts = append(b.spec.Mounts, mount("/m1", "bind", x, "bind"), mount("/m2", "bind", x, "bind", "ro"), mount("/m3", "bind", x, "bind", "noexec", "relatime"),
			mount("/m4", "bind", x, "bind", "nodev"), mount("/m5", "bind", x, "bind", "strictatime"))
	}},
	{"standard input at its end", `cat; echo end; read x || echo none`, nil},
	{"exit code 0", `exit 0`, nil},
	{"exit code 1", `exit 1`, nil},
	{"exit code 42", `exit 42`, nil},
	{"exit code 255", `exit 255`, nil},
	{"killed by SIGTERM", `sh -c 'kill -TERM $$'; exit $?`, nil},
	{"standard descriptors", `ls /proc/self/fd | sort; echo err >&2; echo out >/dev/stdout; echo err2 >/dev/stderr; cat; echo end`, nil},
	{"first process", `echo $$; cat /proc/1/comm; tr '\0' ' ' </proc/1/cmdline; cat /proc/self/oom_score_adj`, func(t *testing.T, b *bundle) {
		b.spec.Process.OOMScoreAdj = ptr(500)
	}},
}

func setuidBusybox(t *testing.T, b *bundle) {
	data, err := os.ReadFile(b.rootfs("bin/busybox"))
	must(t, err)
	must(t, os.WriteFile(b.rootfs("bin/suid"), data, 0o755))
	must(t, os.Chmod(b.rootfs("bin/suid"), 0o755|os.ModeSetuid))
	b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
	b.spec.Process.Args = []string{"/bin/suid", "grep", "-E", "^(Uid|Gid|Cap)", "/proc/self/status"}
}

func TestSameAsRunc(t *testing.T) {
	reference := runc(t)
	all := runscs(t)
	for _, c := range sameCases {
		t.Run(c.name, func(t *testing.T) {
			prepare := func() *bundle {
				b := newBundle(t, c.script)
				if c.change != nil {
					c.change(t, b)
				}
				return b
			}
			b := prepare()
			want := reference.run(t, b)
			for _, rt := range all {
				t.Run(rt.name, func(t *testing.T) {
					b2 := prepare()
					got := rt.run(t, b2)
					if normal(b2, got.out) != normal(b, want.out) || got.code != want.code {
						t.Errorf("runsc: %v\nrunc: %v", got, want)
					}
				})
			}
		})
	}
}
