package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenSource(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "real/below"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "real", "real/loop": "..", "away": "/"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]error{
		"real": nil, "real/below": nil, "": nil,
		"link": unix.ELOOP, "link/below": unix.ELOOP, "real/loop/real": unix.ELOOP, "away": unix.ELOOP, "away/etc": unix.ELOOP,
		"none": unix.ENOENT,
	} {
		f, err := openSource(filepath.Join(dir, path))
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if err == nil {
			f.Close()
		}
	}
}
