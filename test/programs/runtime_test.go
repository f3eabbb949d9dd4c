package programs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"casemate/test/bundle"
)

// A runtime is an OCI runtime that containers are run by.
type runtime struct {
	name  string
	path  string
	flags []string
}

// theRunc returns the runtime that others are compared with.
func theRunc(t *testing.T) runtime {
	t.Helper()
	path, err := exec.LookPath("runc")
	if err != nil {
		t.Fatalf("the programs are compared with what they do under runc: %v", err)
	}
	return runtime{name: "runc", path: path}
}

// platforms returns runsc once for each platform that is to be tested.
func platforms(t *testing.T) (rts []runtime) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("these tests need root on the host: they run containers and mount file systems")
	}
	runsc, err := bundle.Runsc()
	must(t, err)
	list := os.Getenv("PLATFORMS")
	if list == "" {
		list = "systrap,ptrace"
	}
	for p := range strings.SplitSeq(list, ",") {
		rts = append(rts, runtime{p, runsc, []string{"--platform=" + p}})
	}
	return rts
}

// forEachPlatform runs a subtest on each platform.
func forEachPlatform(t *testing.T, test func(t *testing.T, rt runtime)) {
	for _, rt := range platforms(t) {
		t.Run(rt.name, func(t *testing.T) { test(t, rt) })
	}
}

var ids atomic.Int64

// newID returns a container id that nobody has had.
func newID() string { return fmt.Sprintf("programs-%d-%d", os.Getpid(), ids.Add(1)) }

// stateDir is where a runtime keeps the state of the container of the bundle in dir.
func stateDir(dir string) string { return filepath.Join(dir, "state") }

// command returns the command that runs the bundle in dir.
func (rt runtime) command(ctx context.Context, dir, id string) *exec.Cmd {
	args := append([]string{"--root", stateDir(dir)}, rt.flags...)
	cmd := exec.CommandContext(ctx, rt.path, append(args, "run", "--bundle", dir, id)...)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// A result is how a container has ended.
type result struct {
	output string // standard output and error, as they came
	code   int
}

// run runs the bundle in dir to its end, with an empty standard input. It is an
// error if that takes longer than limit.
func (rt runtime) run(dir string, limit time.Duration) (result, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	id := newID()
	cmd := rt.command(ctx, dir, id)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if rt.name == "runc" {
		exec.Command(rt.path, "--root", stateDir(dir), "delete", "--force", id).Run()
	}
	if ctx.Err() != nil {
		return result{}, fmt.Errorf("has not ended in %v; so far it said:\n%s", limit, end(out.String()))
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	return result{out.String(), cmd.ProcessState.ExitCode()}, nil
}

// end returns the end of a text.
func end(s string) string { return s[max(0, len(s)-4000):] }

// difference describes where two outputs first differ.
func difference(got, want string) string {
	g, w := strings.SplitAfter(got, "\n"), strings.SplitAfter(want, "\n")
	for i := range max(len(g), len(w)) {
		if i < len(g) && i < len(w) && g[i] == w[i] {
			continue
		}
		return fmt.Sprintf("line %d:\n  has  %q\n  want %q\n  then %q", i+1, line(g, i), line(w, i), end(strings.Join(g[min(i+1, len(g)):], "")))
	}
	return "none"
}

func line(lines []string, i int) string {
	if i >= len(lines) {
		return "(end)"
	}
	return lines[i]
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
