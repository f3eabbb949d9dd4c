package oci

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// ordinaryUser is the id of a user who need not exist.
const ordinaryUser = 20000

// TestRootless has an ordinary user write a configuration, and take containers through their
// lives. Files that they make are the user's.
func TestRootless(t *testing.T) {
	p := newPlace(t)
	program, err := os.ReadFile(runscPath(t))
	must(t, err)
	runsc := filepath.Join(p.dir, "runsc") // where the user may execute it
	must(t, os.WriteFile(runsc, program, 0o755))
	for _, d := range []string{"bundle", "xdg", "rootfs", "rootfs/tmp"} {
		must(t, os.MkdirAll(filepath.Join(p.dir, d), 0o755))
		must(t, os.Chown(filepath.Join(p.dir, d), ordinaryUser, ordinaryUser))
	}
	must(t, os.Symlink("../rootfs", filepath.Join(p.dir, "bundle/rootfs")))
	script := func(text string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "sh", "-c", prelude+text)
		cmd.Env = append(os.Environ(), "RUNTIME="+runsc, "N=rootless", "X="+p.dir, "XDG_RUNTIME_DIR="+filepath.Join(p.dir, "xdg"), "HOME="+p.dir)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinaryUser, Gid: ordinaryUser}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Sprintf("%s(%v)", out, err)
		}
		return string(out)
	}
	got := script(`rt() { $RUNTIME "$@"; }
		cd bundle; rt spec --rootless -- /bin/sh -c 'id -u; touch /tmp/made; exit 3'; sed -i 's/"readonly": true/"readonly": false/' config.json
		rt run $N 2>&1; echo $?; stat -c %u ../rootfs/tmp/made
		rm config.json; rt spec --rootless -- /bin/sleep 1000; rt create $N </dev/null >out 2>&1; cat out; status $N; rt start $N; status $N
		rt exec $N id -u; rt kill $N KILL; becomes stopped $N; rt delete $N; ls ../xdg/runsc`)
	if want := fmt.Sprintf("0\n3\n%d\ncreated\nrunning\n0\nstopped\n", ordinaryUser); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
