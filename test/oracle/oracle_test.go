package oracle

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"casemate/test/bundle"
)

// A container that prints nothing for so long is ended; a case ends by itself after 20 s.
const stallTimeout = time.Minute

// How many cases of one program may end or stall the container before the rest is given up.
const maxCulprits = 8

// Programs about files, which run on a tmpfs as well; a case name then ends in "@tmpfs".
var onTmpfs = []string{"dirs", "links", "locks", "mmap", "open", "rename", "rw", "sendfile", "shared_mapping", "stat", "xattr"}

// run is one run of a program: with its files on the root file system or on a tmpfs.
type run struct {
	program string
	tmpfs   bool
}

func (r run) String() string {
	if r.tmpfs {
		return r.program + "@tmpfs"
	}
	return r.program
}

// verdicts gives the verdicts in a program's output the names of this run.
func (r run) verdicts(out []byte) []verdict {
	vs := parseVerdicts(out)
	for i := range vs {
		if r.tmpfs {
			vs[i].name += "@tmpfs"
		}
	}
	return vs
}

func runs(t *testing.T) (dir string, rs []run) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("the oracle cases need root on the host: they change owners, ids and devices")
	}
	dir, names := programs(t)
	for _, n := range names {
		rs = append(rs, run{n, false})
		if slices.Contains(onTmpfs, n) {
			rs = append(rs, run{n, true})
		}
	}
	return dir, rs
}

var hostResults sync.Map // of run to func() ([]verdict, error), which runs once

// onHost returns a run's verdicts on the host kernel; the program runs once per test process.
func onHost(dir string, r run) ([]verdict, error) {
	once, _ := hostResults.LoadOrStore(r, sync.OnceValues(func() ([]verdict, error) {
		base := ""
		if r.tmpfs {
			base = "/dev/shm"
		}
		tmp, err := os.MkdirTemp(base, "oracle")
		if err != nil {
			return nil, err
		}
		defer os.RemoveAll(tmp)
		if err := os.Chmod(tmp, 0o755); err != nil {
			return nil, err
		}
		cmd := exec.Command(filepath.Join(dir, r.program), "--all")
		cmd.Dir = tmp
		cmd.Env = []string{"PATH=/bin", "ORACLE_TMP=" + tmp}
		out, err := cmd.Output()
		vs := r.verdicts(out)
		if len(vs) == 0 {
			return nil, fmt.Errorf("%s printed no verdict on the host: %v", r, err)
		}
		return vs, nil
	}))
	return once.(func() ([]verdict, error))()
}

// TestHost proves the cases on the host kernel: none may fail.
func TestHost(t *testing.T) {
	dir, rs := runs(t)
	var ok, skipped atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, r := range rs {
			t.Run(r.String(), func(t *testing.T) {
				t.Parallel()
				vs, err := onHost(dir, r)
				if err != nil {
					t.Fatal(err)
				}
				for _, v := range vs {
					switch kind, _, _ := strings.Cut(v.line, ":"); kind {
					case "ok":
						ok.Add(1)
					case "skip":
						skipped.Add(1)
						t.Logf("%s %s", v.name, v.line)
					default:
						t.Errorf("%s %s", v.name, v.line)
					}
				}
			})
		}
	})
	t.Logf("host: %d ok, %d skipped", ok.Load(), skipped.Load())
}

// TestExceptions checks that every exception names a case and a platform that exist.
func TestExceptions(t *testing.T) {
	dir, rs := runs(t)
	known := map[string]bool{}
	for _, r := range rs {
		out, err := exec.Command(filepath.Join(dir, r.program)).Output()
		must(t, err)
		for _, name := range strings.Fields(string(out)) {
			if r.tmpfs {
				name += "@tmpfs"
			}
			if known[name] {
				t.Errorf("two cases are called %s", name)
			}
			known[name] = true
		}
	}
	for key := range readExceptions(t) {
		name, platform, _ := strings.Cut(key, " ")
		if !known[name] {
			t.Errorf("exceptions.txt names %s, which is no case", name)
		}
		if platform != "*" && !slices.Contains(allPlatforms, platform) {
			t.Errorf("exceptions.txt: %s: no platform %s", name, platform)
		}
	}
}

var allPlatforms = []string{"systrap", "ptrace"}

// TestSandbox runs every case in a sandbox on each platform and compares the verdicts.
// RUNSC is the path of the command (default: ../../bin/runsc); ORACLE_PLATFORMS is a list
// with commas (default: all).
func TestSandbox(t *testing.T) {
	runsc, err := bundle.Runsc()
	must(t, err)
	platforms := allPlatforms
	if p := os.Getenv("ORACLE_PLATFORMS"); p != "" {
		platforms = strings.Split(p, ",")
	}
	for _, p := range platforms {
		t.Run(p, func(t *testing.T) {
			compare(t, runtime{path: runsc, platform: p, flags: []string{"--platform=" + p, "--network=sandbox"}})
		})
	}
}

// TestRunc runs the cases in a container of runc, which shows that they need no more than
// a container has.
func TestRunc(t *testing.T) {
	path, err := exec.LookPath("runc")
	if err != nil {
		t.Skip("runc is not installed")
	}
	compare(t, runtime{path: path, platform: "runc"})
}

// runtime is an OCI runtime that the cases are run by.
type runtime struct {
	path     string
	platform string
	flags    []string
}

// compare runs every program by the runtime and compares its verdicts with the host's.
func compare(t *testing.T, rt runtime) {
	dir, rs := runs(t)
	excepted := readExceptions(t)
	if out, end := rt.exec(t, dir, nil, "/bin/sh", "-c", "echo ok"); string(out) != "ok\n" {
		t.Fatalf("%s does not run a shell on %s: %s: %q", rt.path, rt.platform, end, out)
	}
	var same, differ, missing, listed atomic.Int64
	t.Run("cases", func(t *testing.T) {
		for _, r := range rs {
			t.Run(r.String(), func(t *testing.T) {
				t.Parallel()
				want, err := onHost(dir, r)
				if err != nil {
					t.Fatal(err)
				}
				tmp := "/tmp"
				if r.tmpfs {
					tmp = "/tmpfs"
				}
				inside, culprits := rt.verdicts(t, dir, tmp, r, want)
				for _, w := range want {
					got, ran := inside[w.name]
					reason := excepted.reason(w.name, rt.platform)
					t.Run(w.name, func(t *testing.T) {
						switch {
						case got == w.line && reason == "":
							same.Add(1)
						case got == w.line:
							t.Errorf("is the same as on the host: take it out of exceptions.txt (%s)", reason)
						case reason != "":
							listed.Add(1)
							t.Logf("excepted: %s", reason)
						case !ran:
							missing.Add(1)
							t.Errorf("gave no verdict: %s", culprits[w.name])
						default:
							differ.Add(1)
							t.Errorf("inside %s\n    on the host %s", got, w.line)
						}
					})
				}
			})
		}
	})
	t.Logf("%s: %d the same, %d different, %d without verdict, %d excepted",
		rt.platform, same.Load(), differ.Load(), missing.Load(), listed.Load())
}

// verdicts runs a program in a container. Where a case ends or stalls the container, it is
// the culprit: it gets no verdict but the end of the container, and the rest runs in another container.
func (rt runtime) verdicts(t *testing.T, dir, tmp string, r run, want []verdict) (inside, culprits map[string]string) {
	t.Helper()
	inside, culprits = map[string]string{}, map[string]string{}
	args := []string{"/oracle/" + r.program, "--all"}
	for {
		out, end := rt.exec(t, dir, []string{"ORACLE_TMP=" + tmp}, args...)
		for _, v := range r.verdicts(out) {
			inside[v.name] = v.line
		}
		i := slices.IndexFunc(want, func(w verdict) bool {
			return inside[w.name] == "" && culprits[w.name] == ""
		})
		switch {
		case i < 0:
			return inside, culprits
		case len(culprits) == maxCulprits:
			for _, w := range want[i:] {
				culprits[w.name] = fmt.Sprintf("not run, %d cases before it ended the container", maxCulprits)
			}
			return inside, culprits
		}
		culprits[want[i].name] = "the container ended: " + end
		args = []string{"/oracle/" + r.program, "--after", strings.TrimSuffix(want[i].name, "@tmpfs")}
	}
}

// activity is a buffer that puts a timer off whenever something is written.
type activity struct {
	bytes.Buffer
	timer *time.Timer
}

func (a *activity) Write(p []byte) (int, error) {
	a.timer.Reset(stallTimeout)
	return a.Buffer.Write(p)
}

var containers atomic.Int64

// exec runs a command in a container of its own and returns its standard output, and how
// it ended with what it wrote to the standard error.
func (rt runtime) exec(t *testing.T, bin string, env []string, args ...string) (out []byte, end string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "oracle-bundle")
	must(t, err)
	defer os.RemoveAll(dir)
	must(t, os.Chmod(dir, 0o755))
	writeBundle(t, dir, bin, env, args)
	state := filepath.Join(dir, "state")
	id := fmt.Sprintf("oracle-%d-%d", os.Getpid(), containers.Add(1))
	command := func(ctx context.Context, verb ...string) *exec.Cmd {
		a := slices.Concat([]string{"--root", state}, rt.flags, verb)
		return exec.CommandContext(ctx, rt.path, a...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stdout := activity{timer: time.AfterFunc(stallTimeout, cancel)}
	defer stdout.timer.Stop()
	var stderr bytes.Buffer
	cmd := command(ctx, "run", "--bundle", dir, id)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.WaitDelay = 10 * time.Second
	end = "exit status 0"
	if err := cmd.Run(); err != nil {
		end = err.Error()
	}
	if ctx.Err() != nil {
		command(context.Background(), "delete", "--force", id).Run()
		end = fmt.Sprintf("nothing printed for %v", stallTimeout)
	}
	if stderr.Len() > 0 {
		end += ": " + strings.TrimSpace(stderr.String())
	}
	return stdout.Bytes(), end
}
