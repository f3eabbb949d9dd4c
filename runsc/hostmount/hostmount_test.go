package hostmount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestParse(t *testing.T) {
	id, point, m, ok := parse(`36 35 98:0 /mnt\0401 /a\134b\011c rw,noatime shared:2 master:1 - ext3 /dev/ro\040ot rw,errors=continue`)
	want := Mount{Root: "/mnt 1", Options: "rw,noatime", Type: "ext3", Source: "/dev/ro ot", Super: "rw,errors=continue"}
	if !ok || id != 36 || point != "/a\\b\tc" || m != want {
		t.Errorf("%d %q %+v %v", id, point, m, ok)
	}
	for _, line := range []string{"", "36 35 98:0 / / rw", "x 35 98:0 / / rw - ext3 none rw", "36 35 98:0 / / rw - ext3 none"} {
		if _, _, _, ok := parse(line); ok {
			t.Errorf("%q was taken", line)
		}
	}
}

func TestBelow(t *testing.T) {
	for _, c := range []struct {
		point, name string
		want        bool
	}{{"/", "/", true}, {"/", "/a", true}, {"/a", "/a", true}, {"/a", "/a/b", true}, {"/a", "/ab", false}, {"/a/b", "/a", false}} {
		if got := below(c.point, c.name); got != c.want {
			t.Errorf("%s below %s: %v", c.name, c.point, got)
		}
	}
}

func TestOf(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	outer, err := Of(dir)
	if err != nil {
		t.Fatal(err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may mount")
	}
	mounted := filepath.Join(dir, "a b")
	if err := os.MkdirAll(mounted, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("my source", mounted, "tmpfs", unix.MS_NOEXEC, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(mounted, unix.MNT_DETACH)
	inner := filepath.Join(mounted, "c", "d")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := Of(inner)
	want := Mount{Root: "/c/d", Options: "rw,noexec,relatime", Type: "tmpfs", Source: "my source", Super: "rw,size=64k"}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	// A name beside the mount that begins as its own.
	beside := mounted + "c"
	if err := os.Mkdir(beside, 0o755); err != nil {
		t.Fatal(err)
	}
	want = outer
	want.Root += "/a bc"
	if got, err := Of(beside); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if _, err := Of(filepath.Join(dir, "nothing")); err == nil {
		t.Error("no error for what is not there")
	}
}
