package programs

import (
	"testing"

	"casemate/test/bundle"
)

type object = bundle.Object

// debian returns the root file system that programs run in.
func debian(t *testing.T) string {
	t.Helper()
	root, err := bundle.Debian()
	must(t, err)
	return root
}

// debianBundle makes a bundle with a private copy of the Debian root file system.
func debianBundle(t *testing.T, spec object) string {
	t.Helper()
	dir := t.TempDir()
	undo, err := bundle.MountRoot(dir, debian(t))
	must(t, err)
	t.Cleanup(func() { must(t, undo()) })
	must(t, bundle.Write(dir, spec))
	return dir
}
