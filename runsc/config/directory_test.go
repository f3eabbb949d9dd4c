package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnDirectory(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "own")
	for range 2 {
		if err := ownDirectory(path); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if ownDirectory(path) == nil {
		t.Error("a directory that everybody can change is taken")
	}
	if err := os.Chmod(path, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if ownDirectory(link) == nil {
		t.Error("a symbolic link is taken")
	}
}
