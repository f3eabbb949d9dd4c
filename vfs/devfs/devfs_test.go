package devfs_test

import (
	"bytes"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/devfs"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

func TestDevices(t *testing.T) {
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	devfs.Register(v)
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	ctx := vfs.NewContext(cred.NewRoot(ns), v.NewNamespace(ns, fs.Superblock(), 0))
	for _, d := range devfs.Defaults {
		if err := ctx.Mknod(vfs.Start{}, d.Name, unix.S_IFCHR|d.Mode, vfs.MakeDev(d.Major, d.Minor)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		read     int
		zeros    bool
		writeErr error
	}{
		{"null", 0, true, nil}, {"zero", 100, true, nil}, {"full", 100, true, unix.ENOSPC},
		{"random", 100, false, nil}, {"urandom", 100, false, nil},
	} {
		f, err := ctx.Open(vfs.Start{}, c.name, unix.O_RDWR, 0)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		buf := make([]byte, 100)
		s := usermem.Kernel(buf)
		n, err := f.Read(ctx, &s, 0)
		if n != c.read || err != nil {
			t.Errorf("%s: read %d, %v", c.name, n, err)
		}
		if zeros := bytes.Equal(buf, make([]byte, 100)); zeros != c.zeros {
			t.Errorf("%s: read zeros: %v", c.name, zeros)
		}
		s = usermem.Kernel(buf)
		n, err = f.Write(ctx, &s, 0)
		if err != c.writeErr || err == nil && n != 100 {
			t.Errorf("%s: write %d, %v", c.name, n, err)
		}
		f.DecRef()
	}
	if _, err := ctx.Open(vfs.Start{}, "tty", unix.O_RDWR, 0); err != unix.ENXIO {
		t.Errorf("tty without a driver: %v", err)
	}
}
