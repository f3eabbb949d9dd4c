package oracle

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// verdict is what one case said.
type verdict struct {
	name string
	line string // "ok", "skip: reason" or "FAIL: detail"
}

// parseVerdicts reads the lines that a case program prints. Lines of other kinds are
// ignored: what a case leaves on the standard output is not a verdict.
func parseVerdicts(out []byte) []verdict {
	var vs []verdict
	for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
		kind, rest, ok := strings.Cut(s.Text(), " ")
		if !ok || kind != "ok" && kind != "skip" && kind != "FAIL" {
			continue
		}
		name, detail, _ := strings.Cut(rest, ": ")
		line := kind
		if kind != "ok" {
			line += ": " + detail
		}
		vs = append(vs, verdict{name, line})
	}
	return vs
}

// exceptions maps "case platform" to the reason why the case is not yet the same inside.
type exceptions map[string]string

// reason returns why a case is excepted on a platform, or "".
func (e exceptions) reason(name, platform string) string {
	if r := e[name+" "+platform]; r != "" {
		return r
	}
	return e[name+" *"]
}

// readExceptions reads exceptions.txt: one "case platform reason" a line, # for comments.
func readExceptions(t *testing.T) exceptions {
	t.Helper()
	e, err := parseExceptions("exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func parseExceptions(path string) (exceptions, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	e := exceptions{}
	for i, line := range strings.Split(string(data), "\n") {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 3 {
			return nil, fmt.Errorf("%s:%d: want CASE PLATFORM REASON, have %q", path, i+1, line)
		}
		key := f[0] + " " + f[1]
		if e[key] != "" {
			return nil, fmt.Errorf("%s:%d: %s is listed twice", path, i+1, key)
		}
		e[key] = strings.Join(f[2:], " ")
	}
	return e, nil
}
