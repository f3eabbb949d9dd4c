package oci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// idmapped mounts a directory on another one such that its owners from 1000 on appear as those
// from 0 on (mount_setattr(2)).
func idmapped(t *testing.T, dir, target string) {
	t.Helper()
	ids := []syscall.SysProcIDMap{{ContainerID: 1000, HostID: 0, Size: 10}}
	holder := exec.Command("sleep", "1000")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: ids, GidMappings: ids, Credential: &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true}}
	must(t, holder.Start())
	defer func() {
		holder.Process.Kill()
		holder.Wait()
	}()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", holder.Process.Pid))
	must(t, err)
	defer ns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	must(t, err)
	defer unix.Close(tree)
	must(t, unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(ns.Fd())}))
	must(t, unix.MoveMount(tree, "", unix.AT_FDCWD, target, unix.MOVE_MOUNT_F_EMPTY_PATH))
	t.Cleanup(func() { unix.Unmount(target, unix.MNT_DETACH) })
}

// TestIDMap has an idmapped mount made by runsc, and for runc, which cannot do that in the version
// of Debian, one that is mapped on the host already. Inside and outside must be the same.
func TestIDMap(t *testing.T) {
	const program = `exec 2>&1; cd /data; look() { stat -c '%n %u:%g %a' . *; }; look
echo x >new; mkdir made; ln -s x link; mkfifo fifo; chown 5:6 new; chown 20:20 new; chgrp 3 six; look
echo y >>out; rm out; chmod 600 out; touch out; cat out; chown 1:1 out; su user -c 'echo z >/data/z'; su user -c 'cat /data/private'; mv six seven; look`
	said := func(name, runtime string) string {
		p := newPlace(t)
		data := filepath.Join(p.dir, "data")
		must(t, os.Mkdir(data, 0o777))
		for _, f := range []struct {
			name  string
			owner int
			mode  os.FileMode
		}{{"zero", 1000, 0o644}, {"six", 1006, 0o640}, {"private", 1001, 0o600}, {"out", 0, 0o666}} {
			file := filepath.Join(data, f.name)
			must(t, os.WriteFile(file, []byte(f.name+"\n"), 0o600))
			must(t, os.Chmod(file, f.mode))
			must(t, os.Chown(file, f.owner, f.owner))
		}
		must(t, os.Chown(data, 1000, 1000))
		must(t, os.Chmod(data, 0o777))
		mount := bundle.Mount("/data", "bind", data, "bind")
		if name == "runc" {
			mount["source"] = filepath.Join(p.dir, "mapped")
			must(t, os.Mkdir(mount["source"].(string), 0o777))
			idmapped(t, data, mount["source"].(string))
		} else {
			ids := []bundle.Object{{"containerID": 1000, "hostID": 0, "size": 10}}
			mount["uidMappings"], mount["gidMappings"] = ids, ids
		}
		p.bundle(t, "script", program, func(s bundle.Object) { s["mounts"] = append(s["mounts"].([]bundle.Object), mount) })
		return p.script(t, name, runtime, `rt run --bundle script $N; cd data; stat -c '%n %u:%g %a' . *`)
	}
	runc, err := exec.LookPath("runc")
	must(t, err)
	want := said("runc", runc)
	if got := said("runsc", runscPath(t)); got != want {
		t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
	}
}
