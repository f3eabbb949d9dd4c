package run

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestLog reads --log as engines do.
func TestLog(t *testing.T) {
	rt := runscs(t)[0]
	b := newBundle(t, "echo ran")
	b.spec.Process.Args = []string{"nonesuch"}
	b.spec.Process.SelinuxLabel = "a:b:c:d"
	const want = `runsc run failed: unable to start container process: exec: "nonesuch": executable file not found in $PATH`
	log := filepath.Join(b.dir, "log.json")
	got := rt.run(t, b, "--log", log, "--log-format", "json")
	if got.code != 1 || got.err != want+"\n" {
		t.Errorf("want %q: %v", want, got)
	}
	f, err := os.Open(log)
	must(t, err)
	defer f.Close()
	var levels []string
	last := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		var line struct {
			Time       time.Time
			Level, Msg string
		}
		if err := json.Unmarshal(s.Bytes(), &line); err != nil || line.Time.IsZero() {
			t.Errorf("line %q: %v", s.Text(), err)
		}
		levels = append(levels, line.Level)
		if line.Level == "error" {
			last = line.Msg
		}
	}
	if last != want || strings.Join(levels, " ") != "warning error" {
		t.Errorf("levels %v, error %q, want %q", levels, last, want)
	}
	log = filepath.Join(b.dir, "log.text")
	rt.run(t, b, "--log="+log)
	text, err := os.ReadFile(log)
	must(t, err)
	if !regexp.MustCompile(`(?m)^time=\S+ level=error msg="runsc run failed: `).Match(text) {
		t.Errorf("text: %q", text)
	}
}

// TestDebugLog checks where the debug log is and what --strace adds to it.
func TestDebugLog(t *testing.T) {
	for _, rt := range runscs(t) {
		b := newBundle(t, "")
		b.spec.Process.Args = []string{"cat", "/etc/passwd"}
		b.write(t)
		for pattern, want := range map[string]string{
			"a/log":                      `^a/log$`,
			"b/%ID%.%COMMAND%.txt":       `^b/ident\.boot\.txt$`,
			"c/%TIMESTAMP%.%ID%.log":     `^c/[0-9]{8}-[0-9]{6}\.[0-9]+\.ident\.log$`,
			"d/":                         `^d/runsc\.log\.[0-9-]+\.[0-9]+\.boot\.txt$`,
			"e/%COMMAND%/%COMMAND%-%ID%": `^e/boot/boot-ident$`,
		} {
			cmd := rt.commandOf(t, b, "ident", "--debug", "--strace", "--debug-log="+b.dir+"/logs/"+pattern)
			if got := finish(t, cmd); got.code != 0 || got.err != "" {
				t.Errorf("%s: %v", pattern, got)
			}
			var found []string
			must(t, filepath.WalkDir(filepath.Join(b.dir, "logs"), func(p string, d os.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					found = append(found, p)
				}
				return err
			}))
			if len(found) != 1 {
				t.Errorf("%s: files %v", pattern, found)
				continue
			}
			if name, _ := filepath.Rel(filepath.Join(b.dir, "logs"), found[0]); !regexp.MustCompile(want).MatchString(name) {
				t.Errorf("%s: file %s", pattern, name)
			}
			text, err := os.ReadFile(found[0])
			must(t, err)
			for _, call := range []string{`execve\(|exit_group\(`, `open(at)?\(.*/etc/passwd`, `write\(|sendfile\(`} {
				if !regexp.MustCompile(call).Match(text) {
					t.Errorf("%s: %s is not in the log", rt.name, call)
				}
			}
			must(t, os.RemoveAll(filepath.Join(b.dir, "logs")))
		}
		plain := filepath.Join(b.dir, "plain")
		finish(t, rt.commandOf(t, b, newID(), "--debug-log="+plain))
		if text, err := os.ReadFile(plain); err != nil || len(text) == 0 || strings.Contains(string(text), "openat(") {
			t.Errorf("%s: without --strace: %v, %d bytes", rt.name, err, len(text))
		}
	}
}
