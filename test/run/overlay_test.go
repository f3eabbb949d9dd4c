package run

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// tree describes all files below dir: names, kinds, sizes.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	must(t, filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		s.WriteString(p + " " + info.Mode().String())
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if len(data) < 4096 {
				s.Write(data)
			}
		}
		s.WriteByte('\n')
		return nil
	}))
	return s.String()
}

const overlayScript = `echo new >/etc/new; echo more >>/etc/passwd; rm /etc/group; cp /bin/busybox /bin/sh2; ln -s busybox /bin/uname2; chmod 700 /root
/bin/uname2 2>/dev/null; /bin/sh -c 'echo runs'; /bin/sh2 true 2>/dev/null; mkdir /d; mv /d /e; cat /etc/new; tail -1 /etc/passwd; ls /etc
dd if=/dev/zero of=/big bs=1M count=20 2>/dev/null; stat -c %s /big; rm /big
echo bound >/b/new; ls /b; echo changed >/f; cat /f`

// TestOverlay checks for each kind of overlay that the container sees what it writes,
// and what of it the host sees.
func TestOverlay(t *testing.T) {
	for _, rt := range runscs(t) {
		for _, c := range []struct {
			flag string
			bind bool // the bind mounts are below the overlay too
		}{
			{"root:memory", false}, {"root:self", false}, {"root:dir=STORE", false},
			{"all:memory", true}, {"all:self", true}, {"all:dir=STORE", true},
		} {
			t.Run(rt.name+"/"+c.flag, func(t *testing.T) {
				b := newBundle(t, overlayScript)
				bound, file, store := filepath.Join(b.dir, "bound"), filepath.Join(b.dir, "file"), filepath.Join(b.dir, "store")
				must(t, os.Mkdir(bound, 0o755))
				must(t, os.Mkdir(store, 0o755))
				must(t, os.WriteFile(file, []byte("orig\n"), 0o644))
				b.spec.Mounts = append(b.spec.Mounts, mount("/b", "bind", bound, "bind"), mount("/f", "bind", file, "bind"))
				b.write(t)
				// What mounts need is made on the host by no other run.
				before := tree(t, b.rootfs())
				got := rt.runWritten(t, b, "--overlay2="+strings.Replace(c.flag, "STORE", store, 1))
				want := "runs\nnew\nmore\nnew\npasswd\n20971520\nnew\nchanged\n"
				if got.out != want || got.code != 0 {
					t.Errorf("want %q: %v", want, got)
				}
				if after := tree(t, b.rootfs()); after != before {
					t.Errorf("the root file system has changed from\n%s\nto\n%s", before, after)
				}
				if left, err := os.ReadDir(store); err != nil || len(left) > 0 {
					t.Errorf("in the store's directory: %v, %v", left, err)
				}
				names, err := os.ReadDir(bound)
				must(t, err)
				data, err := os.ReadFile(file)
				must(t, err)
				if kept := len(names) == 0 && string(data) == "orig\n"; kept != c.bind {
					t.Errorf("the bind mounts have %v and %q", names, data)
				}
			})
		}
	}
}

// TestOverlayFull fills the disk that has the overlay.
func TestOverlayFull(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, "dd if=/dev/zero of=/big bs=64k count=1000 2>/tmp/err; echo $?; grep -o 'No space left on device' /tmp/err; rm /big; echo fits >/small; cat /small")
		b.spec.Mounts = append(b.spec.Mounts, mount("/tmp", "tmpfs", "tmpfs"))
		store := filepath.Join(b.dir, "store")
		must(t, os.Mkdir(store, 0o755))
		must(t, unix.Mount("tmpfs", store, "tmpfs", 0, "size=8m"))
		t.Cleanup(func() { unix.Unmount(store, unix.MNT_DETACH) })
		if got := rt.run(t, b, "--overlay2=root:dir="+store); got.out != "1\nNo space left on device\nfits\n" || got.code != 0 {
			t.Errorf("%s: %v", rt.name, got)
		}
	}
}

// TestNoOverlay is the default: what is written is there afterwards.
func TestNoOverlay(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "echo new >/etc/new; rm /etc/group")
	if got := rt.run(t, b); got.code != 0 {
		t.Fatal(got)
	}
	if data, err := os.ReadFile(b.rootfs("etc/new")); string(data) != "new\n" {
		t.Errorf("%q, %v", data, err)
	}
	if _, err := os.Stat(b.rootfs("etc/group")); !os.IsNotExist(err) {
		t.Errorf("what was removed: %v", err)
	}
}
