// Command bench runs the same programs in containers of runc and of runsc, alternately,
// and prints for each the medians and their ratio. It asserts nothing.
//
// The programs are the measurements of micro (C, compiled here and linked statically), the
// workloads in macro, and /bin/true, of which the whole runtime command is timed, or the
// command of docker. The servers in network are asked from the other end of a veth pair.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"casemate/test/bundle"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	rounds := flag.Int("rounds", 3, "how `many` times each program runs under each runtime")
	only := flag.String("run", "", "run only the programs whose name matches the regular `expression`")
	platform := flag.String("platform", "systrap", "platform of runsc")
	runsc := flag.String("runsc", "bin/runsc", "`path` of runsc")
	source := flag.String("source", "test/bench", "`directory` of the benchmark's programs")
	flag.Parse()
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("containers of runc need root")
	}
	runcPath, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	runscPath, err := filepath.Abs(*runsc)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{dir: dir, rounds: *rounds, runtimes: [2]runtime{
		{"runc", runcPath, nil},
		{"runsc", runscPath, []string{"--platform=" + *platform}},
	}}
	programs, err := prepare(*source, filepath.Join(dir, "bench"))
	if err != nil {
		return err
	}
	fmt.Println(heading)
	for _, p := range programs {
		if !wanted.MatchString(p.name) {
			continue
		}
		if err := b.compare(p); err != nil {
			fmt.Printf("%-22s %v\n", p.name, err)
		}
	}
	if wanted.MatchString("veth") {
		if err := b.compareNetwork(); err != nil {
			fmt.Printf("%-22s %v\n", "veth", err)
		}
	}
	return b.compareDocker(wanted)
}

// A program is something to run in a container.
type program struct {
	name string
	args []string
	// whole says that the runtime command itself is timed, not what the program prints.
	whole bool
}

// prepare puts what the containers see on /bench into dir, and lists the programs.
func prepare(source, dir string) (programs []program, err error) {
	for _, scripts := range []string{"macro", "network"} {
		if err := os.CopyFS(filepath.Join(dir, scripts), os.DirFS(filepath.Join(source, scripts))); err != nil {
			return nil, err
		}
	}
	sources, err := filepath.Glob(filepath.Join(source, "micro/*.c"))
	if err != nil {
		return nil, err
	}
	micro := filepath.Join(dir, "micro")
	gcc := exec.Command("gcc", append([]string{"-O2", "-static", "-pthread", "-o", micro}, sources...)...)
	if out, err := gcc.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compiling micro: %w: %s", err, out)
	}
	names, err := exec.Command(micro).Output()
	if err != nil {
		return nil, fmt.Errorf("micro: %w", err)
	}
	programs = append(programs, program{"run_true", []string{"/bin/true"}, true})
	for name := range strings.FieldsSeq(string(names)) {
		programs = append(programs, program{name, []string{"/bench/micro", name}, false})
	}
	scripts, err := filepath.Glob(filepath.Join(dir, "macro/*.sh"))
	if err != nil {
		return nil, err
	}
	for _, s := range scripts {
		if name := strings.TrimSuffix(filepath.Base(s), ".sh"); name != "lib" && name != "nginx" {
			programs = append(programs, program{name, []string{"/bench/macro/" + name + ".sh"}, false})
		}
	}
	return programs, nil
}

// A bench compares two runtimes.
type bench struct {
	dir      string
	rounds   int
	runtimes [2]runtime
}

// Runs of a whole command are short, and are repeated so many times more.
const wholeRounds = 5

// compare runs a program under both runtimes in turn and prints a line for each figure.
func (b *bench) compare(p program) error {
	var figures [2]figures
	rounds := b.rounds
	if p.whole {
		rounds *= wholeRounds
	}
	for range rounds {
		for i, rt := range b.runtimes {
			out, usage, err := rt.run(b.dir, p.args)
			if err != nil {
				return fmt.Errorf("under %s: %w", rt.name, err)
			}
			if p.whole {
				figures[i].add(p.name, usage.wall.Seconds()*1e9, "ns")
				figures[i].add(p.name+"_cpu", usage.cpu.Seconds()*1e9, "ns")
			} else if err := figures[i].parse(p.name, out); err != nil {
				return fmt.Errorf("under %s: %w", rt.name, err)
			}
		}
	}
	for _, line := range table(&figures[0], &figures[1]) {
		fmt.Println(line)
	}
	return nil
}

// A runtime is an OCI runtime.
type runtime struct {
	name  string
	path  string
	flags []string
}

// usage is what one run of a container has cost.
type usage struct {
	wall, cpu time.Duration
}

// A run that takes so long is ended.
const limit = 5 * time.Minute

// run runs args in a container over a fresh copy of the Debian root file system, and returns
// what it says.
func (rt runtime) run(base string, args []string) (out string, u usage, err error) {
	lower, err := bundle.Debian()
	if err != nil {
		return "", u, err
	}
	dir, err := os.MkdirTemp(base, "bundle")
	if err != nil {
		return "", u, err
	}
	defer os.RemoveAll(dir)
	undo, err := bundle.MountRoot(dir, lower)
	if err != nil {
		return "", u, err
	}
	defer undo()
	spec := bundle.Spec(args, bundle.Mount("/bench", "bind", filepath.Join(base, "bench"), "rbind", "ro"))
	if err := bundle.Write(dir, spec); err != nil {
		return "", u, err
	}
	id := filepath.Base(dir)
	state := []string{"--root", filepath.Join(dir, "state")}
	if rt.name == "runc" {
		defer exec.Command(rt.path, append(state, "delete", "--force", id)...).Run()
	}
	cmd := exec.Command(rt.path, append(append(state, rt.flags...), "run", "--bundle", dir, id)...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return "", u, err
	}
	timer := time.AfterFunc(limit, func() { cmd.Process.Kill() })
	defer timer.Stop()
	err = cmd.Wait()
	u.wall = time.Since(began)
	u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	if err != nil {
		return "", u, fmt.Errorf("%w after %v: %s", err, u.wall.Round(time.Second), lastLine(stderr.String()))
	}
	return stdout.String(), u, nil
}

// lastLine returns the last line of a text, shortened.
func lastLine(s string) string {
	s = strings.TrimSpace(s)
	s = s[strings.LastIndexByte(s, '\n')+1:]
	return s[:min(len(s), 200)]
}
