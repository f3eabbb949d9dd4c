package boot

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/vfs"
)

func TestMountOptions(t *testing.T) {
	for _, c := range []struct {
		options, flags, data string
	}{
		{"", "rw,relatime", ""},
		{"defaults", "rw,relatime", ""},
		{"ro,nosuid,nodev,noexec", "ro,nosuid,nodev,noexec,relatime", ""},
		{"ro,rw,nosuid,suid", "rw,relatime", ""},
		{"rro,rnosuid", "ro,nosuid,relatime", ""},
		{"ro,rrw,noexec,rexec", "rw,relatime", ""},
		{"noatime", "rw,noatime", ""},
		{"strictatime,size=64k,mode=755", "rw", "size=64k,mode=755"},
		{"nosymfollow", "rw,relatime,nosymfollow", ""},
		{"rprivate,size=1m", "rw,relatime", "size=1m"},
		{"idmap,ridmap", "rw,relatime", ""},
	} {
		r := parseMountOptions(strings.Split(c.options, ","))
		data := slices.DeleteFunc(r.data, func(o string) bool { return o == "" })
		if got := vfs.FlagNames(r.flags); got != c.flags || strings.Join(data, ",") != c.data {
			t.Errorf("%q: flags %s, data %q; want %s, %q", c.options, got, data, c.flags, c.data)
		}
	}
	if !parseMountOptions([]string{"tmpcopyup"}).copyUp || parseMountOptions([]string{"tmpcopyup", "notmpcopyup"}).copyUp {
		t.Error("tmpcopyup")
	}
}

func TestBindFlags(t *testing.T) {
	const host = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOATIME
	for options, want := range map[string]string{
		"bind":             "rw,nosuid,nodev,noatime",
		"rbind,rprivate":   "rw,nosuid,nodev,noatime",
		"bind,rw":          "rw,nosuid,nodev,noatime",
		"bind,ro":          "ro,noatime",
		"bind,noexec":      "rw,noexec,noatime",
		"bind,relatime":    "rw,relatime",
		"bind,strictatime": "rw",
	} {
		r := parseMountOptions(strings.Split(options, ","))
		r.bind(host)
		if got := vfs.FlagNames(r.flags); got != want {
			t.Errorf("%s: %s, want %s", options, got, want)
		}
	}
}

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"kernel.shmmax": "kernel/shmmax", "net/ipv4/ip_forward": "net/ipv4/ip_forward", "net.ipv4.conf.eth0/1.forwarding": "net/ipv4/conf/eth0.1/forwarding",
		"net/ipv4/conf/eth0.1/forwarding": "net/ipv4/conf/eth0.1/forwarding", "kernel": "kernel",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestFirstCPUs(t *testing.T) {
	const info = "processor\t: 0\nflags\t: a\n\nprocessor\t: 1\nflags\t: a\n\n"
	for n, want := range map[int]int{1: 1, 2: 2, 3: 2} {
		if got := strings.Count(firstCPUs(info, n), "processor"); got != want {
			t.Errorf("%d CPUs: %d", n, got)
		}
	}
}
