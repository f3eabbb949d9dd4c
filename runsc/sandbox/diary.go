package sandbox

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
)

// diary is the file that a sandbox's processes have as their standard error: the Go
// runtime writes there why a process dies.
func diary(dir string) string { return filepath.Join(dir, "stderr") }

// How much of a diary is of interest: its beginning has the reason of a death, its end
// what came last.
const (
	keepFirst = 8 << 10
	keepLast  = 8 << 10
)

// LastWords returns what the processes of the container with that directory have written
// when they died, "" if nothing.
func LastWords(dir string) string {
	f, err := os.Open(diary(dir))
	if err != nil {
		return ""
	}
	defer f.Close()
	first, err := io.ReadAll(io.LimitReader(f, keepFirst))
	if err != nil {
		return ""
	}
	info, err := f.Stat()
	if err != nil || info.Size() <= keepFirst {
		return string(first)
	}
	last := make([]byte, min(info.Size()-keepFirst, keepLast))
	n, _ := f.ReadAt(last, info.Size()-int64(len(last)))
	return string(bytes.Join([][]byte{first, last[:n]}, []byte("\n...\n")))
}
