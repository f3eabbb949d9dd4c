package programs

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"casemate/test/bundle"
)

// A program that runs so long is ended, and has failed. Most take a few seconds.
const programLimit = 3 * time.Minute

// list returns the names of the programs in testdata.
func list(t *testing.T) (names []string) {
	t.Helper()
	files, err := os.ReadDir("testdata")
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		if info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			names = append(names, f.Name())
		}
	}
	if len(names) == 0 {
		t.Fatal("no executable file in testdata")
	}
	return names
}

// runProgram runs a program in a Debian container.
func runProgram(t *testing.T, rt runtime, name string) (result, error) {
	t.Helper()
	programs, err := filepath.Abs("testdata")
	must(t, err)
	spec := bundle.Spec([]string{"/programs/" + name}, bundle.Mount("/programs", "bind", programs, "rbind", "ro"))
	return rt.run(debianBundle(t, spec), programLimit)
}

var references sync.Map // program to func() (result, error), which runs once

// reference returns what a program does under runc.
func reference(t *testing.T, name string) result {
	t.Helper()
	once, _ := references.LoadOrStore(name, sync.OnceValues(func() (result, error) {
		return runProgram(t, theRunc(t), name)
	}))
	want, err := once.(func() (result, error))()
	if err != nil {
		t.Fatalf("under runc it %v", err)
	}
	if strings.Count(want.output, "\n") < 3 {
		t.Fatalf("under runc it says hardly anything:\n%s", want.output)
	}
	return want
}

// TestPrograms compares every program on each platform with the same under runc.
func TestPrograms(t *testing.T) {
	forEachPlatform(t, func(t *testing.T, rt runtime) {
		for _, name := range list(t) {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				want := reference(t, name)
				got, err := runProgram(t, rt, name)
				if err != nil {
					t.Fatal(err)
				}
				if got.output != want.output {
					t.Errorf("output differs from that under runc, %s", difference(got.output, want.output))
				}
				if got.code != want.code {
					t.Errorf("ended with %d, under runc with %d", got.code, want.code)
				}
			})
		}
	})
}
