package oci

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"casemate/test/bundle"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// runscPath is the command under test.
func runscPath(t *testing.T) string {
	t.Helper()
	path, err := bundle.Runsc()
	must(t, err)
	return path
}

// A place is a directory with a root file system, in which bundles are made.
type place struct {
	dir     string
	enter   []string // the command line that runs another one where the scripts are to run
	options string   // that the runtime gets besides
}

// state is where the containers' state is.
func (p *place) state() string { return filepath.Join(p.dir, "state") }

func newPlace(t *testing.T) *place {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests need root")
	}
	dir, err := os.MkdirTemp("", "runsc-oci")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &place{dir: dir}
	must(t, bundle.Busybox(filepath.Join(dir, "rootfs")))
	return p
}

// bundle makes a bundle that runs script.
func (p *place) bundle(t *testing.T, name, script string, change func(spec bundle.Object)) string {
	t.Helper()
	dir := filepath.Join(p.dir, name)
	must(t, os.MkdirAll(dir, 0o755))
	spec := bundle.Spec([]string{"/bin/sh", "-c", script})
	spec["root"] = bundle.Object{"path": filepath.Join(p.dir, "rootfs")}
	spec["process"].(bundle.Object)["env"] = []string{"PATH=/bin"}
	if change != nil {
		change(spec)
	}
	must(t, bundle.Write(dir, spec))
	return dir
}

// prelude is what the scripts have: rt is the runtime, X a directory of the script's own with
// the bundles, N a container's id.
const prelude = `
rt() { $RUNTIME --root $X/state $OPTIONS "$@"; }
status() { rt state $1 | sed -n 's/.*"status": "\(.*\)".*/\1/p'; }
eventually() { _i=0; until "$@" >/dev/null 2>&1; do _i=$((_i+1)); [ $_i -lt 100 ] || { echo "never: $*"; return 1; }; sleep 0.1; done; }
# becomes STATUS NAME waits until a container has the status.
is() { test "$(status $2)" = $1; }
becomes() { eventually is $1 $2 && echo $1; }
# up NAME BUNDLE OPTIONS... makes a container without the script's own descriptors.
up() { rt create --bundle $X/$2 $1 </dev/null >$X/$1.out 2>$X/$1.err || cat $X/$1.err; }
run() { up "$@" && rt start $1; }
cd $X
`

var times = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)

// id is the id of containers of the runtime that a script calls name.
func (p *place) id(name string) string { return fmt.Sprintf("oci-%s-%d", name, os.Getpid()) }

// script runs a script with a runtime and returns what it says.
func (p *place) script(t *testing.T, name, runtime, text string) string {
	t.Helper()
	id := p.id(name)
	command := func(text string) *exec.Cmd {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		t.Cleanup(cancel)
		args := slices.Concat(p.enter, []string{"sh", "-c", prelude + text})
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = append(os.Environ(), "RUNTIME="+runtime, "OPTIONS="+p.options, "N="+id, "X="+p.dir)
		return cmd
	}
	cmd := command(text)
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	clean := command(`rt list -q | while read id; do rt delete --force $id; done`)
	if said, err := clean.CombinedOutput(); err != nil || len(warning.ReplaceAll(said, nil)) > 0 {
		t.Errorf("%s: deleting what is left: %v: %s", name, err, said)
	}
	said := fmt.Sprintf("standard output:\n%s\nstandard error:\n%s\nexit code %d\n", out.String(), warning.ReplaceAllString(errs.String(), ""), cmd.ProcessState.ExitCode())
	said = strings.NewReplacer(id, "NAME", p.dir, "DIR", runtime, "RUNTIME", name, "RUNTIME").Replace(said)
	said = logged.ReplaceAllStringFunc(times.ReplaceAllString(said, "TIME"), func(line string) string {
		text, err := strconv.Unquote(logged.FindStringSubmatch(line)[1])
		must(t, err)
		return text
	})
	return strings.ReplaceAll(said, "\nRUNTIME: ", "\n")
}

// warning is a line in which runc warns of a race that it knows: of a process that has ended while
// it kills all, of a control group that it has to remove once more.
var warning = regexp.MustCompile(`(?m)^time="[^"]*" level=warning msg="(os: process already finished|Failed to remove cgroup \(will retry\))".*\n`)

// logged is how runc writes an error to its standard error.
var logged = regexp.MustCompile(`time="TIME" level=error msg=(".*"|\S+)`)
