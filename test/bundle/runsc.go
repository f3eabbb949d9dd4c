package bundle

import (
	"fmt"
	"os"
	"path/filepath"
)

// Runsc returns the path of the command under test: $RUNSC, or bin/runsc two
// directories above the test's.
func Runsc() (string, error) {
	path := os.Getenv("RUNSC")
	if path == "" {
		path = "../../bin/runsc"
	}
	path, err := filepath.Abs(path)
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return "", fmt.Errorf("no runsc to test: %w; build it with make, or set RUNSC to its path", err)
	}
	return path, nil
}
