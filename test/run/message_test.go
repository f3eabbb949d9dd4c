package run

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// messages are failures that engines and people know by runc's words and exit code.
var messages = []struct {
	name   string
	change func(t *testing.T, b *bundle)
}{
	{"not in PATH", args("nonesuch")},
	{"no such file", args("/nonesuch")},
	{"no such file, relative", args("./nonesuch")},
	{"no such directory", args("/bin/sh/x/nonesuch")},
	{"directory", args("/etc")},
	{"not executable", args("/etc/passwd")},
	{"empty name", args("")},
	{"not executable in PATH", func(t *testing.T, b *bundle) {
		must(t, os.WriteFile(b.rootfs("bin/text"), []byte("text"), 0o644))
		args("text")(t, b)
	}},
	{"interpreter that is not there", script("#!/no/such\n")},
	{"bad format", script("\x01\x02 garbage")},
	{"empty program", script("")},
	{"cwd is a file", func(_ *testing.T, b *bundle) { b.spec.Process.Cwd = "/etc/passwd" }},
	{"cwd is relative", func(_ *testing.T, b *bundle) { b.spec.Process.Cwd = "etc" }},
	{"cwd is missing", func(_ *testing.T, b *bundle) { b.spec.Process.Cwd = "" }},
	{"cwd is not to be entered", func(t *testing.T, b *bundle) {
		must(t, os.Chmod(b.rootfs("root"), 0o700))
		b.spec.Process.Cwd = "/root"
		b.spec.Process.User = specs.User{UID: 1000, GID: 1000}
		b.spec.Process.Capabilities = &specs.LinuxCapabilities{}
	}},
	{"no arguments", args()},
	{"no process", func(_ *testing.T, b *bundle) { b.spec.Process = nil }},
	{"no root", func(_ *testing.T, b *bundle) { b.spec.Root = nil }},
	{"root is missing", func(_ *testing.T, b *bundle) { b.spec.Root.Path = "nowhere" }},
	{"source of a mount is missing", func(_ *testing.T, b *bundle) {
		b.spec.Mounts = append(b.spec.Mounts, mount("/x", "bind", "/nonesuch", "bind"))
	}},
	{"unknown limit", func(_ *testing.T, b *bundle) {
		b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NONE"}}
	}},
	{"namespace twice", func(_ *testing.T, b *bundle) {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "pid"})
	}},
	{"unknown namespace", func(_ *testing.T, b *bundle) {
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: "nonesuch"})
	}},
	{"sysctl of the host name", sysctl("kernel.hostname", "x")},
	{"sysctl that is not there", sysctl("net.nonesuch", "1")},
	{"sysctl with a bad value", sysctl("net.ipv4.ip_forward", "x")},
}

func args(a ...string) func(*testing.T, *bundle) {
	return func(_ *testing.T, b *bundle) { b.spec.Process.Args = a }
}

// script makes a program of that content the one to run.
func script(content string) func(*testing.T, *bundle) {
	return func(t *testing.T, b *bundle) {
		must(t, os.WriteFile(b.rootfs("bin/program"), []byte(content), 0o755))
		args("program")(t, b)
	}
}

func sysctl(name, value string) func(*testing.T, *bundle) {
	return func(_ *testing.T, b *bundle) { b.spec.Linux.Sysctl = map[string]string{name: value} }
}

var (
	logged = regexp.MustCompile(`(?s)level=error msg=("(?:[^"\\]|\\.)*")`)
	prefix = regexp.MustCompile(`^run(c|sc) run failed: `)
)

// said is what a runtime says of a failure, without its own name.
func said(t *testing.T, b *bundle, text string) string {
	t.Helper()
	if m := logged.FindStringSubmatch(text); m != nil {
		var err error
		text, err = strconv.Unquote(m[1])
		must(t, err)
	}
	return prefix.ReplaceAllString(normal(b, strings.TrimSpace(text)), "")
}

func TestMessages(t *testing.T) {
	reference := runc(t)
	for _, c := range messages {
		t.Run(c.name, func(t *testing.T) {
			b := newBundle(t, "echo ran")
			c.change(t, b)
			ref := reference.run(t, b)
			want := said(t, b, ref.err)
			for _, rt := range runscs(t) {
				b := newBundle(t, "echo ran")
				c.change(t, b)
				got := rt.run(t, b)
				// Ours may say of which file it speaks first.
				if text := said(t, b, got.err); !strings.HasSuffix(text, want) || got.code != ref.code || got.out != ref.out {
					t.Errorf("%s: exit code %d, %q\nrunc: exit code %d, %q", rt.name, got.code, text, ref.code, want)
				}
			}
		})
	}
}

func TestBrokenConfiguration(t *testing.T) {
	for name, c := range map[string]struct{ config, want string }{
		"not JSON":         {"{", "unexpected EOF"},
		"wrong type":       {`{"ociVersion": 5}`, "cannot unmarshal number"},
		"nothing":          {"{}", "ociVersion is missing"},
		"version 2":        {`{"ociVersion": "2.0.0"}`, "2.0.0 is not supported"},
		"version 0":        {`{"ociVersion": "0.9.0"}`, "0.9.0 is not supported"},
		"no version":       {`{"ociVersion": "one"}`, `"one" is not a version`},
		"half a version":   {`{"ociVersion": "1."}`, `"1." is not a version`},
		"version and more": {`{"ociVersion": "1.0.0 "}`, `"1.0.0 " is not a version`},
	} {
		t.Run(name, func(t *testing.T) {
			rt := runscs(t)[0]
			b := newBundle(t, "")
			b.writeRaw(t, []byte(c.config))
			if got := rt.runWritten(t, b); got.code != 1 || !strings.Contains(got.err, c.want) {
				t.Errorf("want %q: %v", c.want, got)
			}
		})
	}
	rt := runscs(t)[0]
	b := newBundle(t, "")
	if got := rt.runWritten(t, b); got.code != 1 || !strings.Contains(got.err, "JSON specification file config.json not found") {
		t.Errorf("no config.json: %v", got)
	}
	b = newBundle(t, "echo ran")
	for _, version := range []string{"1.0.0", "1.0.2-dev", "1.1.0", "1.2.1", "1.3.0", "1.3.0+x"} {
		b.spec.Version = version
		if got := rt.run(t, b); got.code != 0 || got.out != "ran\n" {
			t.Errorf("version %s: %v", version, got)
		}
	}
}

// TestUnknownFields checks that what later versions may add is no error.
func TestUnknownFields(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "echo ran")
	b.write(t)
	config, err := os.ReadFile(b.dir + "/config.json")
	must(t, err)
	b.writeRaw(t, append([]byte(`{"later": {"a": [1]}, "annotations": {"x": "y"},`), config[1:]...))
	if got := rt.runWritten(t, b); got.code != 0 || got.out != "ran\n" || got.err != "" {
		t.Error(got)
	}
}

// TestIgnored checks that what a sandbox has no use for is said and does not stop it.
func TestIgnored(t *testing.T) {
	rt := runscs(t)[0]
	for want, change := range map[string]func(b *bundle){
		"ignoring process.apparmorProfile": func(b *bundle) { b.spec.Process.ApparmorProfile = "docker-default" },
		"ignoring process.selinuxLabel":    func(b *bundle) { b.spec.Process.SelinuxLabel = "a:b:c:d" },
		"ignoring linux.mountLabel":        func(b *bundle) { b.spec.Linux.MountLabel = "a:b:c:d" },
		"ignoring unknown or unavailable capabilities: [CAP_NONESUCH CAP_OTHER]": func(b *bundle) {
			c := b.spec.Process.Capabilities
			c.Bounding = append([]string{"CAP_OTHER", "CAP_NONESUCH"}, c.Bounding...)
			c.Permitted = append([]string{"CAP_NONESUCH"}, c.Permitted...)
		},
	} {
		b := newBundle(t, "echo ran")
		change(b)
		if got := rt.run(t, b); got.code != 0 || got.out != "ran\n" || !strings.Contains(got.err, want) {
			t.Errorf("want %q: %v", want, got)
		}
	}
}

func TestUsage(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "exit 2")
	for _, flags := range [][]string{{"--nonesuch"}, {"--platform=nonesuch"}, {"--overlay2=some"}} {
		if got := rt.run(t, b, flags...); got.code != 1 || got.err == "" {
			t.Errorf("%v: %v", flags, got)
		}
	}
	for _, id := range []string{"", "a/b", "..", "a b"} {
		if got := finish(t, rt.commandOf(t, b, id)); got.code != 1 || !strings.Contains(got.err, "invalid container ID format") {
			t.Errorf("id %q: %v", id, got)
		}
	}
	if got := rt.run(t, b); got.code != 2 {
		t.Errorf("a container that ends with 2: %v", got)
	}
}
