package docker

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"casemate/test/bundle"
	"casemate/test/dockerd"
)

// daemon is the one that all tests use.
var daemon *dockerd.Daemon

func TestMain(m *testing.M) {
	code, err := withDaemon(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withDaemon runs f with a daemon that has the images "bb" and "debian".
func withDaemon(f func() int) (code int, err error) {
	runsc, err := bundle.Runsc()
	if err != nil {
		return 1, err
	}
	debs, err := packages()
	if err != nil {
		return 1, err
	}
	os.Setenv("DEBS", debs)
	daemon, err = dockerd.Start(dockerd.Options{Runsc: runsc, Runtimes: map[string][]string{"runsc": nil, "isolated": {"--allow-host-network=false"}}})
	if err != nil {
		return 1, err
	}
	defer func() {
		if serr := daemon.Stop(); serr != nil {
			err = fmt.Errorf("after the tests: %w", serr)
		}
	}()
	if err := daemon.ImportBusybox(); err != nil {
		return 1, err
	}
	if err := daemon.ImportDebian(); err != nil {
		return 1, err
	}
	return f(), nil
}

// packages returns the directory of Debian packages that DEBS names, or where the Makefile has
// test/rootfs/packages.sh put them.
func packages() (string, error) {
	dir := os.Getenv("DEBS")
	if dir == "" {
		dir = "/var/cache/casemate/debs"
	}
	if found, _ := filepath.Glob(dir + "/vim-tiny_*.deb"); len(found) != 1 {
		return "", fmt.Errorf("no packages in %s; have test/rootfs/packages.sh DIR fetch them, or set DEBS", dir)
	}
	return dir, nil
}

// prelude is what the scripts have: run and create with the runtime under test, $RT; $N, a name
// that is the script's own, $X, a directory of the script's own; $DEBS, the packages; and outside, a command where
// the daemon is.
const prelude = `
run() { docker run --label case=$N --runtime=$RT --network=${NET:-none} "$@"; }
create() { docker create --label case=$N --runtime=$RT --network=${NET:-none} "$@"; }
# up NAME OPTIONS... starts a container that does nothing.
up() { _n=$1; shift; run -d --name $_n "$@" bb sleep 1000 >/dev/null; }
# ended NAME waits for the end of a container and says how it ended.
ended() { docker wait $1; docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' $1; }
# eventually COMMAND... repeats a command until it succeeds, for thirty seconds at most.
eventually() { _i=0; until "$@" >/dev/null 2>&1; do _i=$((_i+1)); [ $_i -lt 300 ] || { echo "never: $*"; return 1; }; sleep 0.1; done; }
outside() { nsenter --net=/proc/$DAEMON/ns/net "$@"; }
cd $X
`

// clientErrors are what docker itself logs now and then of containers that have not started.
var clientErrors = regexp.MustCompile(`(?m)^time="[^"]*" level=error msg="error waiting for container: .*"\n`)

// script runs a script with a runtime and returns what it says.
func script(t *testing.T, serial int, runtime, text string) string {
	t.Helper()
	dir := t.TempDir()
	name := fmt.Sprintf("c%d-%s", serial, runtime)
	env := slices.Concat(daemon.Env, []string{"RT=" + runtime, "N=" + name, "X=" + dir, fmt.Sprintf("DAEMON=%d", daemon.PID())})
	cmd := exec.Command("timeout", "100", "sh", "-c", prelude+text)
	cmd.Env = env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	if cmd.ProcessState.ExitCode() == 124 {
		t.Errorf("%s: the script does not end", runtime)
	}
	clean := exec.Command("timeout", "60", "sh", "-c", `docker ps -aq --filter label=case=$N | xargs -r docker rm -f -v
docker network ls -q --filter label=case=$N | xargs -r docker network rm`)
	clean.Env = env
	if said, err := clean.CombinedOutput(); err != nil {
		t.Errorf("%s: removing what the script has made: %v: %s", runtime, err, said)
	}
	said := fmt.Sprintf("standard output:\n%s\nstandard error:\n%s\nexit code %d\n",
		out.String(), clientErrors.ReplaceAllString(errs.String(), ""), cmd.ProcessState.ExitCode())
	return strings.NewReplacer(name, "NAME", dir, "DIR", "runsc", "RUNTIME", "runc", "RUNTIME").Replace(said)
}
