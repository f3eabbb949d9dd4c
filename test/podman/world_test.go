package podman

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// The ordinary user, who exists in the world alone.
const (
	userID  = 20000
	subID   = 200000 // first of the ids that are the user's besides
	subSize = 65536
)

// world is where the tests are run.
var world struct {
	dir    string // of all files; /run/casemate is another name of it
	init   int    // host's process id of its process 1
	mounts string // mountinfo at the beginning
}

func TestMain(m *testing.M) {
	code, err := withWorld(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withWorld makes the world, runs f, and sees to it that nothing is left.
func withWorld(f func() int) (code int, err error) {
	for _, program := range []string{"podman", "conmon", "runc", "busybox", "catatonit", "newuidmap", "slirp4netns", "unshare", "nsenter", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			return 0, fmt.Errorf("the tests of Podman need podman, runc, busybox-static, uidmap, slirp4netns, catatonit, netavark, aardvark-dns and iproute2: %w", err)
		}
	}
	if os.Geteuid() != 0 {
		return 0, fmt.Errorf("only root can make the namespaces of the tests of Podman")
	}
	runsc, err := bundle.Runsc()
	if err != nil {
		return 0, err
	}
	if world.dir, err = os.MkdirTemp("/tmp", "casemate-podman"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(world.dir)
	if err := fill(runsc); err != nil {
		return 0, err
	}
	cmd := exec.Command("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "catatonit", "-P")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: unix.SIGKILL} // which ends the world
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	before := controlGroups()
	defer func() {
		cmd.Process.Kill() // and with it all processes of the world
		cmd.Wait()
		for _, g := range controlGroups() {
			if slices.Contains(before, g) {
				continue
			}
			if strings.HasPrefix(filepath.Base(g), "libpod-") {
				err = errors.Join(err, fmt.Errorf("control group left: %s", g))
			}
			os.Remove(g) // Podman leaves those of pods and conmon's
		}
		for _, parent := range parentGroups() {
			os.Remove(parent) // another Podman may use it
		}
	}()
	if world.init, err = firstChild(cmd.Process.Pid); err != nil {
		return 0, err
	}
	if out, err := enter(context.Background(), nil, setUp).CombinedOutput(); err != nil {
		return 0, fmt.Errorf("setting up the world: %w: %s", err, out)
	}
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", world.init))
	if err != nil {
		return 0, err
	}
	world.mounts = string(mounts)
	return f(), nil
}

// parentGroups are the control groups in which Podman makes those of containers.
func parentGroups() []string {
	v1, _ := filepath.Glob("/sys/fs/cgroup/*/libpod_parent")
	v2, _ := filepath.Glob("/sys/fs/cgroup/libpod_parent")
	return append(v1, v2...)
}

// controlGroups are those in them.
func controlGroups() (groups []string) {
	for _, parent := range parentGroups() {
		below, _ := filepath.Glob(parent + "/*/cgroup.procs")
		for _, file := range below {
			groups = append(groups, filepath.Dir(file))
		}
	}
	return groups
}

// fill makes the files of the world.
func fill(runsc string) error {
	rootfs := filepath.Join(world.dir, "rootfs")
	if err := bundle.Busybox(rootfs); err != nil {
		return err
	}
	if out, err := exec.Command("tar", "-C", rootfs, "-cf", filepath.Join(world.dir, "bb.tar"), ".").CombinedOutput(); err != nil {
		return fmt.Errorf("making the image: %w: %s", err, out)
	}
	program, err := os.ReadFile(runsc)
	if err != nil {
		return err
	}
	passwd, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return err
	}
	group, err := os.ReadFile("/etc/group")
	if err != nil {
		return err
	}
	sub := fmt.Sprintf("casemate:%d:%d\n", subID, subSize)
	for name, text := range map[string]string{
		"runsc":    string(program), // where the user can execute it
		"passwd":   string(passwd) + fmt.Sprintf("casemate:x:%d:%d::/run/casemate/home:/bin/sh\n", userID, userID),
		"group":    string(group) + fmt.Sprintf("casemate:x:%d:\n", userID),
		"subuid":   sub,
		"subgid":   sub,
		"conf":     "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n[engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\n",
		"home/.no": "",
		"xdg/.no":  "",
	} {
		path := filepath.Join(world.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			return err
		}
	}
	for _, name := range []string{"home", "xdg"} {
		if err := os.Chown(filepath.Join(world.dir, name), userID, userID); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(world.dir, name), 0o700); err != nil {
			return err
		}
	}
	return os.Chmod(world.dir, 0o755)
}

// setUp has the world's /run for itself, and an ordinary user.
const setUp = `
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/casemate && mount --bind $DIR /run/casemate
for f in passwd group subuid subgid; do mount --bind $DIR/$f /etc/$f; done
mkdir -p /dev/net && mount -t tmpfs -o mode=755 tmpfs /dev/net && mknod -m 666 /dev/net/tun c 10 200
ip link set lo up
`

// firstChild waits until a process has a child.
func firstChild(pid int) (int, error) {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if err != nil {
			return 0, err
		}
		if f := strings.Fields(string(data)); len(f) > 0 {
			child, err := strconv.Atoi(f[0])
			if err != nil {
				return 0, err
			}
			comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", child))
			if err == nil && strings.HasPrefix(string(comm), "catatonit") {
				return child, nil // all that unshare does is done
			}
		}
		if time.Now().After(deadline) {
			return 0, fmt.Errorf("unshare makes no namespaces")
		}
	}
}

// enter prepares a shell that runs script in the world; as a user, if as is not nil.
func enter(ctx context.Context, as []string, script string, env ...string) *exec.Cmd {
	args := append([]string{"--target", strconv.Itoa(world.init), "--mount", "--net", "--pid", "--"}, as...)
	cmd := exec.CommandContext(ctx, "nsenter", append(args, "sh", "-ec", script)...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "DIR=" + world.dir}, env...)
	cmd.WaitDelay = time.Second
	return cmd
}

// A person is who runs Podman.
type person struct {
	name string
	as   []string // command that makes another command run as this person
	env  []string
}

var (
	root = &person{name: "root", env: []string{"HOME=/root", "STORE=/run/casemate/root", "RUN=/run/casemate/root-run"}}
	user = &person{name: "user", as: []string{"setpriv", "--reuid", fmt.Sprint(userID), "--regid", fmt.Sprint(userID), "--clear-groups", "--"},
		env: []string{"USER=casemate", "HOME=/run/casemate/home", "XDG_RUNTIME_DIR=/run/casemate/xdg", "STORE=/run/casemate/home/store", "RUN=/run/casemate/xdg/run"}}
)

// prelude is what the scripts have: run and create with the runtime under test, N, a name that is
// the script's own, and X, a directory of the script's own.
const prelude = `
set +e
export CONTAINERS_CONF=/run/casemate/conf
podman() { command podman --root $STORE --runroot $RUN --storage-driver overlay --runtime $RT "$@"; }
run() { podman run --network=${NET:-none} "$@"; }
# up NAME OPTIONS... starts a container that does nothing.
up() { _n=$1; shift; run -d --name $_n "$@" bb sleep 1000 >/dev/null; }
# ended NAME waits for the end of a container and says how it ended.
ended() { podman wait $1; podman inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' $1; }
# eventually COMMAND... repeats a command until it succeeds.
eventually() { _i=0; until "$@" >/dev/null 2>&1; do _i=$((_i+1)); [ $_i -lt 150 ] || { echo "never: $*"; return 1; }; sleep 0.2; done; }
cd $X
`

// prepare gives a person the image "bb", busybox.
func (p *person) prepare(t *testing.T) {
	t.Helper()
	p.script(t, "runc", `podman import -q -c 'ENV PATH=/bin' -c 'CMD ["sh"]' /run/casemate/bb.tar bb >/dev/null`)
}

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`)

var serial int

// script runs a script with a runtime and returns what it says.
func (p *person) script(t *testing.T, runtime, text string) string {
	t.Helper()
	serial++
	name := fmt.Sprintf("casemate%d", serial)
	dir := filepath.Join("/run/casemate", name)
	host := filepath.Join(world.dir, name)
	if err := os.Mkdir(host, 0o755); err != nil {
		t.Fatal(err)
	}
	if p == user {
		if err := os.Chown(host, userID, userID); err != nil {
			t.Fatal(err)
		}
	}
	path := runtime
	if runtime == "runsc" {
		path = "/run/casemate/runsc"
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	env := append([]string{"RT=" + path, "N=" + name, "X=" + dir}, p.env...)
	cmd := enter(ctx, p.as, prelude+text, env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Errorf("%s: the script does not end", runtime)
	}
	p.clean(t, runtime, env)
	said := fmt.Sprintf("standard output:\n%s\nstandard error:\n%s\nexit code %d\n", out.String(), errs.String(), cmd.ProcessState.ExitCode())
	said = times.ReplaceAllString(said, "TIME")
	return strings.NewReplacer(name, "NAME", path, "RUNTIME", "runsc", "RUNTIME", "runc", "RUNTIME").Replace(said)
}

// clean removes what a script has made, and sees to it that nothing of it is left.
func (p *person) clean(t *testing.T, runtime string, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := enter(ctx, p.as, prelude+`podman pod rm -fa -t 0 >/dev/null; podman rm -fa -t 0 >/dev/null; podman volume rm -fa >/dev/null; podman network prune -f >/dev/null; podman ps -aq`, env...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%s: removing the containers: %v: %s", runtime, err, out)
	}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		left := leftovers()
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%s: left in the world: %s", runtime, left)
			return
		}
	}
}

// leftovers are processes and mounts of containers that are in the world.
func leftovers() (left []string) {
	var ns, st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/mnt", world.init), &ns); err != nil {
		return []string{err.Error()}
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, proc := range procs {
		cmdline, err := os.ReadFile(proc + "/cmdline")
		if err != nil || !isContainer(string(cmdline)) {
			continue
		}
		// A sandbox's processes have a mount namespace of their own, but not its own init.
		cgroup, _ := os.ReadFile(proc + "/cgroup")
		if unix.Stat(proc+"/ns/mnt", &st) == nil && st.Ino == ns.Ino || strings.Contains(string(cgroup), "libpod") {
			left = append(left, proc+" "+strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	mounts, _ := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", world.init))
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(world.mounts, line) {
			continue
		}
		if strings.Contains(line, "/merged ") || strings.Contains(line, "/userdata/") || strings.Contains(line, "/run/netns/netns-") {
			left = append(left, line)
		}
	}
	return left
}

// isContainer reports whether a command line is that of a process that belongs to a container.
func isContainer(cmdline string) bool {
	program := filepath.Base(strings.SplitN(cmdline, "\x00", 2)[0])
	switch program {
	case "conmon", "runsc", "runc", "slirp4netns", "sleep":
		return true
	}
	return false
}
