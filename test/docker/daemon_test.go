package docker

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"casemate/test/bundle"
)

// The daemon that all tests use.
var daemon struct {
	dir    string
	socket string
	env    []string
}

func TestMain(m *testing.M) {
	code, err := withDaemon(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withDaemon runs f with a daemon that has an image "bb", busybox.
func withDaemon(f func() int) (int, error) {
	path := os.Getenv("PATH")
	if dirs := os.Getenv("DOCKER_BIN"); dirs != "" {
		path = dirs + ":" + path
	}
	os.Setenv("PATH", path)
	for _, program := range []string{"dockerd", "docker", "containerd-shim-runc-v2", "runc", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			return 0, fmt.Errorf("the tests of Docker need docker.io, runc and busybox-static: %w", err)
		}
	}
	if os.Geteuid() != 0 {
		return 0, fmt.Errorf("only root can run a Docker daemon")
	}
	runsc, err := bundle.Runsc()
	if err != nil {
		return 0, err
	}
	// The names of Docker's sockets must not be long.
	dir, err := os.MkdirTemp("/tmp", "casemate-docker")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	daemon.dir, daemon.socket = dir, filepath.Join(dir, "docker.sock")
	daemon.env = append(os.Environ(), "DOCKER_HOST=unix://"+daemon.socket, "DOCKER_CONFIG="+dir, "DIR="+dir)
	config, err := json.Marshal(map[string]any{"runtimes": map[string]any{
		"runsc": map[string]any{"path": runsc, "runtimeArgs": []string{"--debug-log=" + dir + "/log/"}},
	}})
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "daemon.json"), config, 0o600); err != nil {
		return 0, err
	}
	log, err := os.Create(filepath.Join(dir, "dockerd.log"))
	if err != nil {
		return 0, err
	}
	defer log.Close()
	cmd := exec.Command("dockerd", "--config-file", dir+"/daemon.json", "--data-root", dir+"/data", "--exec-root", dir+"/exec",
		"--host", "unix://"+daemon.socket, "--pidfile", dir+"/dockerd.pid", "--bridge=none", "--iptables=false", "--ip6tables=false")
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, daemon.env
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer stop(cmd)
	if err := importBusybox(); err != nil {
		said, _ := os.ReadFile(log.Name())
		return 0, fmt.Errorf("%w; the daemon says: %s", err, said)
	}
	return f(), nil
}

// stop ends the daemon, and unmounts what it has left mounted.
func stop(cmd *exec.Cmd) {
	docker("ps -aq | xargs -r docker rm -f", nil)
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); strings.HasPrefix(f[1], daemon.dir+"/") {
			unix.Unmount(f[1], unix.MNT_DETACH)
		}
	}
}

// docker runs a script in which docker speaks to the daemon.
func docker(script string, stdin []byte) (string, error) {
	cmd := exec.Command("sh", "-c", "docker() { command docker \"$@\"; }\ndocker "+script)
	cmd.Env = daemon.env
	cmd.Stdin = bytes.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// importBusybox waits for the daemon and gives it the image.
func importBusybox() error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		out, err := docker("version", nil)
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the daemon does not answer: %s", out)
		}
	}
	image, err := busyboxImage()
	if err != nil {
		return err
	}
	if out, err := docker(`import -c 'ENV PATH=/bin' -c 'CMD ["sh"]' - bb`, image); err != nil {
		return fmt.Errorf("importing the image: %w: %s", err, out)
	}
	return nil
}

func busyboxImage() ([]byte, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	applets, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(h tar.Header, data string) {
		h.Size = int64(len(data))
		if err == nil {
			err = w.WriteHeader(&h)
		}
		if err == nil {
			_, err = w.Write([]byte(data))
		}
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "proc", "root", "sys", "var"} {
		add(tar.Header{Typeflag: tar.TypeDir, Name: d + "/", Mode: 0o755}, "")
	}
	add(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, "")
	add(tar.Header{Name: "etc/passwd", Mode: 0o644}, "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")
	add(tar.Header{Name: "etc/group", Mode: 0o644}, "root:x:0:\nuser:x:1000:\nmore:x:2000:user\n")
	add(tar.Header{Name: "bin/busybox", Mode: 0o755}, string(program))
	for a := range strings.FieldsSeq(string(applets)) {
		if a != "busybox" {
			add(tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + a, Linkname: "busybox", Mode: 0o777}, "")
		}
	}
	if err == nil {
		err = w.Close()
	}
	return buf.Bytes(), err
}

// prelude is what the scripts have: run and create with the runtime under test, N, a name that
// is the script's own, and X, a directory of the script's own.
const prelude = `
run() { docker run --runtime=$RT --network=${NET:-none} "$@"; }
create() { docker create --runtime=$RT --network=${NET:-none} "$@"; }
# up NAME OPTIONS... starts a container that does nothing.
up() { _n=$1; shift; run -d --name $_n "$@" bb sleep 1000 >/dev/null; }
# ended NAME waits for the end of a container and says how it ended.
ended() { docker wait $1; docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' $1; }
# until COMMAND... repeats a command until it succeeds, for ten seconds at most.
eventually() { _i=0; until "$@" >/dev/null 2>&1; do _i=$((_i+1)); [ $_i -lt 100 ] || { echo "never: $*"; return 1; }; sleep 0.1; done; }
cd $X
`

var serial int

// script runs a script with a runtime and returns what it says.
func script(t *testing.T, runtime, text string) string {
	t.Helper()
	dir := t.TempDir()
	serial++
	name := fmt.Sprintf("c%d", serial)
	cmd := exec.Command("timeout", "60", "sh", "-c", prelude+text)
	cmd.Env = append(daemon.env, "RT="+runtime, "N="+name, "X="+dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() == 124 {
		t.Errorf("%s: the script does not end", runtime)
	}
	rm := exec.Command("timeout", "60", "sh", "-c", "docker ps -aq | xargs -r docker rm -f -v")
	rm.Env = daemon.env
	rm.Run()
	said := fmt.Sprintf("standard output:\n%s\nstandard error:\n%s\nexit code %d\n", out.String(), errs.String(), cmd.ProcessState.ExitCode())
	return strings.NewReplacer(name, "NAME", dir, "DIR", "runsc", "RUNTIME", "runc", "RUNTIME").Replace(said)
}
