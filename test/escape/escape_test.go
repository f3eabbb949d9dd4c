package escape

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"casemate/test/bundle"
)

// limit is how long a program may take; two run at a time on two processors.
const limit = 2 * time.Minute

func platforms() []string {
	if p := os.Getenv("ESCAPE_PLATFORMS"); p != "" {
		return strings.Split(p, ",")
	}
	return []string{"systrap", "ptrace"}
}

func command(t *testing.T) string {
	t.Helper()
	runsc, err := bundle.Runsc()
	must(t, err)
	if os.Geteuid() != 0 {
		t.Fatal("the witnesses need root on the host")
	}
	return runsc
}

// TestHostile runs every hostile program on every platform.
func TestHostile(t *testing.T) {
	runsc := command(t)
	names, bin := build(t), programs
	for _, p := range platforms() {
		t.Run(p, func(t *testing.T) {
			neighbour := start(t, runsc, p, "neighbour-"+p, bin, "", "/bin/sh", "-c",
				"i=0; while true; do i=$((i+1)); echo count $i end; sleep 0.2; done")
			neighbour.until(t, "count 1 end", time.Minute)
			t.Run("programs", func(t *testing.T) {
				for _, name := range names {
					if name == "limits" {
						continue // TestRootless runs it
					}
					t.Run(name, func(t *testing.T) {
						t.Parallel()
						hostile(t, nil, runsc, p, bin, name)
						before := strings.Count(neighbour.out.String(), "\n")
						neighbour.until(t, fmt.Sprintf("count %d end", before+2), time.Minute)
					})
				}
			})
			pids := processes(neighbour.cmd.Process.Pid)
			if confined(t, neighbour, p) == 0 {
				t.Error("the neighbour has no stub")
			}
			neighbour.kill()
			if left := gone(pids, 10*time.Second); len(left) > 0 {
				t.Errorf("SIGKILL of runsc leaves processes %v", left)
			}
		})
	}
}

// TestRootless runs the programs that have to do with files and rights in sandboxes
// of an ordinary user, and that on limits: no cgroup enforces those there.
func TestRootless(t *testing.T) {
	build(t)
	bin := programs
	runsc := filepath.Join(bin, "runsc") // where everybody can come
	data, err := os.ReadFile(command(t))
	must(t, err)
	must(t, os.WriteFile(runsc, data, 0o755))
	user := &syscall.Credential{Uid: 1000, Gid: 1000}
	for _, p := range platforms() {
		for _, name := range []string{"paths", "descriptors", "remap", "limits"} {
			t.Run(p+"/"+name, func(t *testing.T) {
				t.Parallel()
				hostile(t, user, runsc, p, bin, name)
			})
		}
	}
}

// hostile runs one program, with all witnesses. user is nil for root.
func hostile(t *testing.T, user *syscall.Credential, runsc, platform, bin, name string) {
	outside := t.TempDir()
	c := newCanary(t, outside)
	shared := filepath.Join(outside, "shared")
	must(t, os.Mkdir(shared, 0o755))
	stop := meddle(t, name, shared)
	if user != nil {
		must(t, os.Chown(shared, int(user.Uid), int(user.Gid)))
		must(t, os.Chmod(filepath.Dir(outside), 0o711))
	}
	s := startAs(t, user, runsc, platform, "hostile-"+name, bin, shared, "/hostile/"+name)
	pids := map[int]bool{}
	look := func() {
		for _, p := range processes(s.cmd.Process.Pid) {
			pids[p] = true
		}
	}
	begin := time.Now()
	checked := false
	for !s.wait(100 * time.Millisecond) {
		look()
		if !checked && strings.Contains(s.out.String(), "begin\n") {
			checked = confined(t, s, platform) > 0
		}
		if time.Since(begin) > limit {
			t.Errorf("it does not end: %s", tail(s.out.String()))
			s.kill()
			break
		}
	}
	stop()
	out := s.out.String()
	for line := range strings.Lines(out) {
		if strings.Contains(line, "GAINED") {
			t.Error(strings.TrimSpace(line))
		}
	}
	if strings.Contains(out, secret) {
		t.Errorf("the secret has come out: %s", tail(out))
	}
	if !strings.Contains(out, "survived\n") || s.err != nil {
		t.Errorf("the program did not end as it should: %v: %s", s.err, tail(out))
	}
	c.check(t)
	all := make([]int, 0, len(pids))
	for p := range pids {
		all = append(all, p)
	}
	nothingLeft(t, s, all)
	t.Logf("%v: %s", time.Since(begin).Round(time.Millisecond), tail(out))
}

func tail(s string) string {
	const keep = 2000
	if len(s) > keep {
		return "... " + s[len(s)-keep:]
	}
	return s
}
