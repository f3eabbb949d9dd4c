package run

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// do prepares runsc do.
func (rt runtime) do(t *testing.T, args ...string) *exec.Cmd {
	return exec.CommandContext(t.Context(), rt.path, append(append([]string{}, rt.flags...), append([]string{"do"}, args...)...)...)
}

func TestDo(t *testing.T) {
	for _, rt := range runscs(t) {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "file"), []byte("host\n"), 0o644))
		cmd := rt.do(t, "sh", "-c", "pwd; cat file; echo changed >file; cat file; rm file; echo new >new; ls; hostname; exit 6")
		cmd.Dir = dir
		got := finish(t, cmd)
		host, err := os.Hostname()
		must(t, err)
		if want := fmt.Sprintf("%s\nhost\nchanged\nnew\n%s\n", dir, host); got.out != want || got.code != 6 {
			t.Errorf("%s: want %q: %v", rt.name, want, got)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "file")); string(data) != "host\n" {
			t.Errorf("%s: the host's file has %q, %v", rt.name, data, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
			t.Errorf("%s: a new file is on the host", rt.name)
		}
	}
}

func TestDoExitCodes(t *testing.T) {
	rt := runscs(t)[0]
	for want, args := range map[int][]string{
		127: {"nonesuch-command"}, 126: {"/etc/passwd"}, 0: {"true"}, 3: {"sh", "-c", "exit 3"}, 143: {"sh", "-c", "sh -c 'kill $$'; exit $?"},
	} {
		if got := finish(t, rt.do(t, args...)); got.code != want {
			t.Errorf("%v: want %d: %v", args, want, got)
		}
	}
	if got := finish(t, rt.do(t)); got.code != 1 || got.err == "" {
		t.Errorf("no command: %v", got)
	}
}

// TestDoPipes sends much through a sandbox in the middle of a pipeline.
func TestDoPipes(t *testing.T) {
	for _, rt := range runscs(t) {
		cmd := rt.do(t, "sh", "-c", "tr a-y b-z; echo errors >&2")
		in := bytes.Repeat([]byte("abcdefgh\n"), 200000)
		cmd.Stdin = bytes.NewReader(in)
		got := finish(t, cmd)
		if got.out != strings.Repeat("bcdefghi\n", 200000) || got.err != "errors\n" || got.code != 0 {
			t.Errorf("%s: %d bytes, %q, exit code %d", rt.name, len(got.out), got.err, got.code)
		}
	}
}

func TestDoRoot(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "")
	must(t, os.Mkdir(b.rootfs("work"), 0o755))
	got := finish(t, rt.do(t, "--root", b.rootfs(), "--cwd", "/work", "sh", "-c", "pwd; ls /; echo x >y; ls"))
	if want := "/work\nbin\ndev\netc\nhome\nproc\nroot\nrun\nsys\ntmp\nvar\nwork\ny\n"; got.out != want || got.code != 0 {
		t.Errorf("want %q: %v", want, got)
	}
	if names, _ := os.ReadDir(b.rootfs("work")); len(names) > 0 {
		t.Errorf("on the host: %v", names)
	}
}

// user is an ordinary one of the host; it need not be in /etc/passwd.
const user = 1000

// asUser lets cmd run as an ordinary user without privileges.
func asUser(cmd *exec.Cmd, dir string) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user, Groups: []uint32{user}}}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "XDG_RUNTIME_DIR=" + dir + "/run"}
	cmd.Dir = dir
	return cmd
}

// userCopy is a copy of runsc that an ordinary user may execute.
func userCopy(t *testing.T, rt runtime, dir string) runtime {
	t.Helper()
	from, err := os.Open(rt.path)
	must(t, err)
	defer from.Close()
	rt.path = filepath.Join(dir, "runsc")
	to, err := os.OpenFile(rt.path, os.O_CREATE|os.O_WRONLY, 0o755)
	must(t, err)
	_, err = io.Copy(to, from)
	must(t, err)
	must(t, to.Close())
	return rt
}

// needsUsers skips a test where an ordinary user cannot have a user namespace.
func needsUsers(t *testing.T, dir string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	if out, err := asUser(exec.Command("unshare", "-Ur", "true"), dir).CombinedOutput(); err != nil {
		t.Skipf("no user namespaces for ordinary users: %v, %s", err, out)
	}
}

// TestRootless runs bundles and commands as an ordinary user.
func TestRootless(t *testing.T) {
	for _, rt := range runscs(t) {
		t.Run(rt.name, func(t *testing.T) {
			b := newBundle(t, "id -u; cat /proc/self/uid_map | awk '{print $1}'; echo new >/etc/new; cat /etc/new; touch /etc/passwd && stat -c '%u' /etc/new; ls -d /proc/1; kill -0 1 && echo alive; exit 8")
			needsUsers(t, b.dir)
			rt := userCopy(t, rt, b.dir)
			b.write(t)
			must(t, filepath.Walk(b.dir, func(p string, _ os.FileInfo, err error) error {
				if err != nil {
					return err
				}
				return os.Lchown(p, user, user)
			}))
			cmd := rt.commandOf(t, b, newID())
			got := finish(t, asUser(cmd, b.dir))
			if want := "0\n0\nnew\n0\n/proc/1\nalive\n"; got.out != want || got.code != 8 {
				t.Errorf("run: want %q: %v", want, got)
			}
			if strings.TrimSpace(got.err) != "" && !strings.Contains(got.err, "cgroup") {
				t.Errorf("run says %q", got.err)
			}
			var info syscall.Stat_t
			must(t, syscall.Stat(b.rootfs("etc/new"), &info))
			if info.Uid != user {
				t.Errorf("the new file belongs to %d on the host", info.Uid)
			}
			got = finish(t, asUser(rt.do(t, "sh", "-c", "id -u; cat /etc/shadow 2>/dev/null || echo secret; echo x >$HOME/x; cat $HOME/x"), b.dir))
			if want := "0\nsecret\nx\n"; got.out != want || got.code != 0 {
				t.Errorf("do: want %q: %v", want, got)
			}
			if _, err := os.Stat(filepath.Join(b.dir, "x")); err == nil {
				t.Error("what do has written is on the host")
			}
		})
	}
}

// TestNetworkNone leaves nothing but loopback.
func TestNetworkNone(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, "ip -o link | wc -l; ip -o addr show lo | wc -l; mkfifo /dev/shm/open; nc -l -p 80 <>/dev/shm/open & until echo hello | nc 127.0.0.1 80 2>/dev/null; do sleep 0.1; done; nc -w 1 192.0.2.1 80; echo $?")
		if got := rt.run(t, b, "--network=none"); got.out != "1\n2\nhello\n1\n" || !strings.Contains(got.err, "unreachable") {
			t.Errorf("%s: %v", rt.name, got)
		}
	}
}
