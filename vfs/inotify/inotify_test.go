package inotify_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/inotify"
	"casemate/vfs/tmpfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// drain reads all events as "wd:mask:name".
func drain(ctx *vfs.Context, i *inotify.Instance) string {
	var out []string
	buf := make([]byte, 4096)
	for {
		s := usermem.Kernel(buf)
		n, err := i.Read(ctx, nil, &s, 0, 0)
		if err != nil {
			return strings.Join(out, " ")
		}
		for b := buf[:n]; len(b) > 0; {
			size := 16 + binary.LittleEndian.Uint32(b[12:])
			name := strings.TrimRight(string(b[16:size]), "\x00")
			out = append(out, fmt.Sprintf("%d:%x:%s", binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:]), name))
			b = b[size:]
		}
	}
}

func TestEvents(t *testing.T) {
	mem, err := memfile.New()
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	ns := cred.NewRootUserNamespace()
	v := vfs.New(ns)
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	ctx := vfs.NewContext(cred.NewRoot(ns), v.NewNamespace(ns, fs.Superblock(), 0))
	at := vfs.Start{}
	i := inotify.New()
	root := ctx.FS.Root()
	defer root.DecRef()
	wd, err := i.Add(root.Inode(), unix.IN_ALL_EVENTS)
	if err != nil || wd != 1 {
		t.Fatal(wd, err)
	}
	f, err := ctx.Open(at, "/f", unix.O_CREAT|unix.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Add(f.Inode(), unix.IN_DELETE_SELF); err != nil {
		t.Fatal(err)
	}
	f.DecRef()
	check := func(want string) {
		t.Helper()
		if got := drain(ctx, i); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	check("1:100:f 1:20:f 1:8:f")
	ctx.Rename(at, "/f", at, "/g", 0)
	check("1:40:f 1:80:g")
	ctx.Unlink(at, "/g")
	check("2:400: 2:8000: 1:200:g")
	if err := i.Remove(2); err != unix.EINVAL {
		t.Errorf("a watch of what has gone: %v", err)
	}
	if err := i.Remove(1); err != nil {
		t.Fatal(err)
	}
	ctx.Mkdir(at, "/d", 0o755)
	check("1:8000:")
	s := usermem.Kernel(make([]byte, 20))
	i.Add(root.Inode(), unix.IN_CREATE|unix.IN_ONESHOT)
	ctx.Mkdir(at, "/e", 0o755)
	ctx.Mkdir(at, "/h", 0o755)
	if _, err := i.Read(ctx, nil, &s, 0, 0); err != unix.EINVAL {
		t.Errorf("a buffer too small for the name: %v", err)
	}
	check("3:40000100:e 3:8000:")
}
