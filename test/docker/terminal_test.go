package docker

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// A terminal is a session of tmux, in which a person could sit.
type terminal struct {
	t      *testing.T
	socket string
}

// newTerminal runs a shell script in a new terminal of 80 columns and 24 rows.
func newTerminal(t *testing.T, script string) *terminal {
	t.Helper()
	term := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	path := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { exec.Command("tmux", "-S", term.socket, "kill-server").Run() })
	term.tmux("-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", "sh "+path+"; echo over; sleep 1000")
	return term
}

func (term *terminal) tmux(args ...string) string {
	term.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", term.socket}, args...)...)
	cmd.Env = daemon.Env
	out, err := cmd.CombinedOutput()
	if err != nil {
		term.t.Fatalf("tmux %s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// screen is what is to be seen, without blank lines at the end.
func (term *terminal) screen() string {
	term.t.Helper()
	return strings.TrimRight(term.tmux("capture-pane", "-p"), "\n ")
}

// showing is how long the terminal may take to show something.
const showing = 30 * time.Second

// A step of a person at a terminal: what is typed, and what is to be seen then.
type step struct {
	text string // typed as it is
	keys string // then these, as tmux calls them, with blanks between them
	want string // a regular expression that the screen matches before the next step
}

func (term *terminal) do(s step) {
	term.t.Helper()
	switch keys := strings.Fields(s.keys); {
	case s.text == "resize":
		term.tmux(append([]string{"resize-window"}, keys...)...)
	default:
		if s.text != "" {
			term.tmux("send-keys", "-l", s.text)
		}
		if len(keys) > 0 {
			term.tmux(append([]string{"send-keys"}, keys...)...)
		}
	}
	want := regexp.MustCompile("(?m)" + s.want)
	for deadline := time.Now().Add(showing); ; time.Sleep(20 * time.Millisecond) {
		screen := term.screen()
		if want.MatchString(screen) {
			return
		}
		if time.Now().After(deadline) {
			term.t.Fatalf("after %q %s the screen does not show %q:\n%s", s.text, s.keys, s.want, screen)
		}
	}
}

// terminalCases are what a person does in a shell in a container; the prompt is "> ".
var terminalCases = []struct {
	name  string
	steps []step
}{
	{"size", []step{
		{"until stty size | grep 24; do sleep 0.1; done; tty", "Enter", `^24 80\n/dev/pts/\d+\n>$`},
		{"resize", "-x 100 -y 30", `>$`},
		{"clear; until stty size | grep 100; do sleep 0.1; done", "Enter", `^30 100\n>$`},
		{"trap 'echo changed' WINCH; clear", "Enter", `^>$`}, // no program, which would get the signal itself
		{"resize", "-x 70 -y 20", `changed`},
		{"clear; until stty size | grep 70; do sleep 0.1; done", "Enter", `^20 70\n`},
	}},
	{"editing", []step{
		{"ehco one", "C-a M-d", `^>  one$`},
		{"echo", "C-e", `^> echo one$`},
		{" two", "C-w Enter", `^one\n>$`},
		{"", "Up", `^> echo one$`},
		{"", "C-u", `^>$`},
		{"echo ready; cat", "Enter", `^> echo ready; cat\nready$`}, // cat has the terminal as the shell found it
		{"typed", "BSpace BSpace Enter", `^typ\ntyp$`},
		{"", "C-d", `^>$`},
	}},
	{"interrupt", []step{
		{"sh -c 'echo ready; exec sleep 1000'", "Enter", `^ready$`},
		{"", "C-c", `^\^C\n>$`},
		{"echo $?", "Enter", `^130$`},
		{`sh -c 'trap "echo caught" INT; echo ready; read x; echo got $x'`, "Enter", `^ready\n(.*\n)*.*got \$x'\nready$`},
		{"", "C-c", `caught\ngot \n>$|caught\ngot\n>$`},
		{"sh -c 'echo again; exec sleep 1000'", "Enter", `^again$`},
		{"", `C-\`, `Quit`},
	}},
	{"job control", []step{
		{"sh -c 'echo ready; exec sleep 1000'", "Enter", `^ready$`},
		{"", "C-z", `\[1\]\+  Stopped +sh -c`},
		{"clear; jobs; bg; jobs", "Enter", `\[1\]\+  Stopped +sh -c .*\n\[1\]\+ sh -c .* &\n\[1\]\+  Running +sh -c .* &\n>$`},
		{"clear; sh -c 'echo ready; exec cat'", "Enter", `^ready$`},
		{"", "C-z", `\[2\]\+  Stopped +sh -c`},
		{"clear; (read x; echo never) & until [ $(jobs -s | wc -l) = 2 ]; do sleep 0.1; done; jobs -s | wc -l", "Enter", `^2\n`},
		{"clear; kill %1 %2 %3; wait; fg %1", "Enter", `fg: %1: no such job`},
		{"clear; sleep 1001 & fg", "Enter", `sleep 1001\n*$`},
		{"", "C-c", `>$`},
		{"clear; jobs; stty tostop; (echo hidden) & until jobs | grep Stopped; do sleep 0.1; done", "Enter", `Stopped`},
	}},
	{"less", []step{
		{"seq 1 1000 | less", "Enter", `^1\n2\n(.*\n)*22\n23\n:$`},
		{"", "Space", `^46\n:$`},
		{"/500", "Enter", `^500\n501\n`},
		{"G", "", `^1000\n\(END\)`},
		{"g", "", `^1\n2\n(.*\n)*23\n:$`},
		{"q", "", `>$`},
	}},
	{"vim", []step{
		{"vim.tiny /tmp/f", "Enter", `^~\n~\n`},
		{"ione", "Enter", `^one$`},
		{"two", "Escape", `^one\ntwo\n`},
		{"yyp:%s/two/three/", "Enter", `^one\nthree\nthree\n`},
		{"resize", "-x 100 -y 30", `^one\nthree\nthree\n(~\n){20}`},
		{"u:%!sort -r", "Enter", `^two\ntwo\none\n`},
		{"", "C-z", `Stopped`},
		{"fg", "Enter", `^two\ntwo\none\n`},
		{":wq", "Enter", `>$`},
		{"clear; cat /tmp/f", "Enter", `^two\ntwo\none\n>$`},
	}},
	{"top", []step{
		{"top -d 0.5", "Enter", `^top - (.*\n)*Tasks: .* total(.*\n)*.*COMMAND(.*\n)+.*bash`},
		{"", "1", `%Cpu0`},
		{"q", "", `>$`},
	}},
	{"end", []step{
		{"exit 7", "Enter", `^code 7\nover$`},
	}},
}

// shell is the command of a container with which a person speaks.
const shell = `-e "PS1=> " vim bash --norc --noprofile -i`

// needTerminals makes the image of the terminal tests: Debian with vim.
func needTerminals(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Fatal("the tests of terminals need tmux: ", err)
	}
	debs, _ := filepath.Glob(os.Getenv("DEBS") + "/*.deb")
	dir := t.TempDir()
	for _, deb := range debs {
		if err := os.Link(deb, filepath.Join(dir, filepath.Base(deb))); err != nil {
			t.Fatal(err)
		}
	}
	dockerfile := "FROM debian\nCOPY *.deb /debs/\nRUN dpkg -i /debs/*.deb\n"
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := daemon.SetDefault("runc"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker", "build", "-q", "-t", "vim", dir)
	cmd.Env = append(daemon.Env[:len(daemon.Env):len(daemon.Env)], "DOCKER_BUILDKIT=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the image: %v: %s", err, out)
	}
}

// TestTerminal has a person use shells in containers, those that docker run starts and those
// that docker exec does, under both runtimes.
func TestTerminal(t *testing.T) {
	needTerminals(t)
	for i, c := range terminalCases {
		for _, runtime := range []string{"runc", "runsc"} {
			for _, how := range []string{"run", "exec"} {
				t.Run(c.name+"/"+how+"/"+runtime, func(t *testing.T) {
					t.Parallel()
					name := fmt.Sprintf("t%d-%s-%s", i, how, runtime)
					script := fmt.Sprintf("docker run -it --rm --network none --name %s --runtime %s %s; echo code $?", name, runtime, shell)
					if how == "exec" {
						out, err := daemon.Docker(nil, "run", "-d", "--rm", "--network", "none", "--name", name, "--runtime", runtime, "vim", "sleep", "1000")
						if err != nil {
							t.Fatal(out, err)
						}
						script = fmt.Sprintf("docker exec -it %s; echo code $?", strings.Replace(shell, "vim bash", name+" bash", 1))
					}
					defer daemon.Docker(nil, "rm", "-f", name)
					term := newTerminal(t, script)
					term.do(step{want: `^>$`})
					for _, s := range c.steps {
						term.do(s)
					}
				})
			}
		}
	}
}

// TestDetach leaves a terminal by the detach keys, and takes it up again.
func TestDetach(t *testing.T) {
	needTerminals(t)
	for _, runtime := range []string{"runc", "runsc"} {
		t.Run(runtime, func(t *testing.T) {
			t.Parallel()
			name := "detach-" + runtime
			defer daemon.Docker(nil, "rm", "-f", name)
			term := newTerminal(t, fmt.Sprintf(`docker run -it --network none --name %s --runtime %s %s; echo detached $?
docker attach --detach-keys ctrl-x,y %s; echo again $?
docker attach %s; echo code $?`, name, runtime, shell, name, name))
			for _, s := range []step{
				{want: `^>$`},
				{"x=kept", "Enter", `^> x=kept\n>$`},
				{"", "C-p C-q", `detached 0$`},
				{"", "Enter", `>$`},
				{"clear; echo $x", "Enter", `^kept\n>$`},
				{"", "C-x", `>$`},
				{"", "y", `again`},
				{"", "Enter", `>$`},
				{"exit 9", "Enter", `^code 9\nover$`},
			} {
				term.do(s)
			}
		})
	}
}
