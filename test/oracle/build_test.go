package oracle

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// compiled is the directory that holds the case programs, built once per test process.
var compiled = sync.OnceValues(compile)

// programs returns the directory of the case programs and their names, in order.
func programs(t *testing.T) (dir string, names []string) {
	t.Helper()
	dir, err := compiled()
	if err != nil {
		t.Fatalf("compiling the cases: %v", err)
	}
	sources, err := filepath.Glob("cases/*.c")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no case programs in cases/ (%v)", err)
	}
	for _, s := range sources {
		names = append(names, strings.TrimSuffix(filepath.Base(s), ".c"))
	}
	slices.Sort(names)
	return dir, names
}

// compile runs build.sh into a cache directory that is named by a hash of everything
// that goes into the programs, and reuses what an earlier run left there.
func compile() (string, error) {
	h := sha256.New()
	version, err := exec.Command("gcc", "--version").Output()
	if err != nil {
		return "", err
	}
	h.Write(version)
	add := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		io.WriteString(h, path+"\x00")
		_, err = io.Copy(h, f)
		return err
	}
	for _, root := range []string{"build.sh", "cases"} {
		if err := filepath.WalkDir(root, add); err != nil {
			return "", err
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	cache = filepath.Join(cache, "casemate-oracle")
	dir := filepath.Join(cache, hex.EncodeToString(h.Sum(nil))[:24])
	if now := time.Now(); os.Chtimes(dir, now, now) == nil {
		return dir, nil
	}
	if err := prune(cache); err != nil {
		return "", err
	}
	building := fmt.Sprintf("%s.%d", dir, os.Getpid())
	cmd := exec.Command("./build.sh", building)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		os.RemoveAll(building)
		return "", err
	}
	if err := os.Rename(building, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	return dir, os.RemoveAll(building) // left over when another process was faster
}

// prune removes what has not been used for a day.
func prune(cache string) error {
	entries, err := os.ReadDir(cache)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr == nil && time.Since(info.ModTime()) > 24*time.Hour {
			err = errors.Join(err, os.RemoveAll(filepath.Join(cache, e.Name())))
		}
	}
	return err
}
