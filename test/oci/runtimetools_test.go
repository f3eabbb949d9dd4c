package oci

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// toolsExceptions are the programs of runtime-tools that pass with runc and cannot pass with
// runsc.
var toolsExceptions = map[string]string{
	"delete_resources":            "looks for pids.max as asked for: the host's has room for the sandbox's own threads besides the container's tasks, which the sandbox counts",
	"linux_cgroups_pids":          "the same",
	"linux_cgroups_relative_pids": "the same",
	"linux_ns_itype":              "a namespace that is not listed is to be the host's: a sandbox has its own",
	"linux_ns_path":               "namespaces of processes of the host are to be joined: what runs in a sandbox is in none of the host's",
	"linux_ns_path_type":          "the same",
}

// toolsRaces are what programs say when they have lost a race, with any runtime: they kill a
// container whose process is to run still, but is true(1). It is no failure.
var toolsRaces = map[string]string{"pidfile": "container not running"}

// toolsHasty are programs that hope that a container's shell has set its trap before their next
// command, which beside others may not be so: if they fail they have another chance, by themselves.
var toolsHasty = []string{"killsig"}

// TestRuntimeTools runs the validation programs of opencontainers/runtime-tools with runc and
// with runsc. What passes with runc must pass with runsc, with the exceptions above, and at
// least as many must.
func TestRuntimeTools(t *testing.T) {
	dir := buildTools(t)
	runc, err := exec.LookPath("runc")
	must(t, err)
	programs := toolNames(t, dir)
	want, _ := runTools(t, dir, "runc", runc, programs)
	got, said := runTools(t, dir, "runsc", runscPath(t), programs)
	failed := slices.DeleteFunc(slices.Clone(toolsHasty), func(name string) bool { return got[name] })
	again, saidAgain := runTools(t, dir, "runsc", runscPath(t), failed)
	maps.Copy(got, again)
	maps.Copy(said, saidAgain)
	t.Logf("of %d programs %d pass with runc, %d with runsc", len(want), count(want), count(got))
	if count(got) < count(want) {
		t.Errorf("with runc %d programs pass, with runsc %d", count(want), count(got))
	}
	for name, passes := range want {
		_, excepted := toolsExceptions[name]
		switch {
		case got[name] && excepted:
			t.Errorf("%s passes, but is among the exceptions", name)
		case passes && !got[name] && !excepted:
			t.Errorf("%s passes with runc, but not with runsc:\n%s", name, said[name])
		}
	}
	for name := range toolsExceptions {
		if _, ok := want[name]; !ok {
			t.Errorf("there is no program %s", name)
		}
	}
}

func count(passes map[string]bool) (n int) {
	for _, ok := range passes {
		if ok {
			n++
		}
	}
	return n
}

const (
	toolsModule = "github.com/opencontainers/runtime-tools"
	// toolInside is the one that the others run in containers.
	toolInside = "runtimetest"
)

// buildTools builds the programs into a directory, with the root file system that they use.
func buildTools(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir, cmd.Stderr = "runtimetools", os.Stderr
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %v: %v", args, err)
		}
		return strings.TrimSpace(string(out))
	}
	run("build", "-ldflags=-s", "-o", dir+"/", toolsModule+"/validation/...", toolsModule+"/cmd/"+toolInside)
	rootfs := fmt.Sprintf("rootfs-%s.tar.gz", runtime.GOARCH)
	data, err := os.ReadFile(filepath.Join(run("list", "-m", "-f", "{{.Dir}}", toolsModule), rootfs))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, rootfs), data, 0o644))
	return dir
}

// toolNames are the programs of a directory that buildTools has made.
func toolNames(t *testing.T, dir string) (names []string) {
	entries, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range entries {
		if name := e.Name(); name != toolInside && !strings.HasPrefix(name, "rootfs-") {
			names = append(names, name)
		}
	}
	return names
}

// runTools runs programs with a runtime, and tells which pass, and what they say.
func runTools(t *testing.T, dir, name, path string, programs []string) (passes map[string]bool, said map[string]string) {
	t.Helper()
	own := t.TempDir()
	must(t, os.Chmod(own, 0o755))
	// They know no flags of the runtime.
	wrapper := filepath.Join(own, name)
	must(t, os.WriteFile(wrapper, fmt.Appendf(nil, "#!/bin/sh\nexec %s --root %s/state \"$@\"\n", path, own), 0o755))
	// Those of cgroups all use the same one; most others wait most of the time.
	queues := map[bool]chan string{false: make(chan string, len(programs)), true: make(chan string, len(programs))}
	workers := map[bool]int{false: 4, true: 1}
	for _, program := range programs {
		queues[strings.Contains(program, "cgroups") || strings.Contains(program, "resources")] <- program
	}
	passes, said = map[string]bool{}, map[string]string{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for cgroups, queue := range queues {
		close(queue)
		for range workers[cgroups] {
			wg.Go(func() {
				for program := range queue {
					text, ok := runTool(t.Context(), dir, program, wrapper, own)
					if race := toolsRaces[program]; race != "" && strings.Contains(text, race) {
						ok = true
					}
					mu.Lock()
					passes[program], said[program] = ok, text
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	// Some programs leave a container when they fail.
	left, err := exec.Command(wrapper, "list", "--quiet").Output()
	must(t, err)
	for id := range strings.FieldsSeq(string(left)) {
		if out, err := exec.Command(wrapper, "delete", "--force", id).CombinedOutput(); err != nil {
			t.Errorf("deleting %s: %v: %s", id, err, out)
		}
	}
	return passes, said
}

// toolError is how a program that has no test points to print says that it has failed.
var toolError = regexp.MustCompile(`(?m)^ *"error": "[^"]`)

// runTool runs a program, which prints what it finds in the form of the Test Anything Protocol.
func runTool(ctx context.Context, dir, program, runtime, tmp string) (said string, passes bool) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, program))
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "RUNTIME="+runtime, "TMPDIR="+tmp)
	cmd.WaitDelay = time.Second
	// Containers that are to share the host's mounts mount their own among them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: unix.CLONE_NEWNS}
	out, err := cmd.CombinedOutput()
	said = string(out)
	points, failed := 0, false
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "ok ") {
			points++
		}
		failed = failed || strings.HasPrefix(line, "not ok ")
	}
	if points == 0 {
		failed = failed || toolError.MatchString(said)
	}
	return said, err == nil && !failed
}
