package net

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestMain has all temporary files in one directory, and looks for what is left after the tests.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "casemate-net")
	if err == nil {
		err = os.Chmod(dir, 0o755) // servers have users of their own
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Setenv("TMPDIR", dir)
	code := m.Run()
	left := leftovers(dir)
	for end := time.Now().Add(20 * time.Second); len(left) > 0 && time.Now().Before(end); left = leftovers(dir) {
		time.Sleep(50 * time.Millisecond)
	}
	for _, l := range left {
		fmt.Fprintln(os.Stderr, "left after the tests:", l)
		code = 1
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// leftovers are the network namespaces of this process, and the processes and mounts that have
// to do with dir.
func leftovers(dir string) (left []string) {
	spaces, _ := filepath.Glob(fmt.Sprintf("/run/netns/*-%d-*", os.Getpid()))
	for _, s := range spaces {
		left = append(left, "network namespace "+s)
	}
	commands, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, c := range commands {
		if text, _ := os.ReadFile(c); strings.Contains(string(text), dir) {
			left = append(left, "process "+strings.ReplaceAll(string(text), "\x00", " "))
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, dir) {
			left = append(left, "mount "+line)
		}
	}
	return left
}
