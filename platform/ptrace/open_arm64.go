package ptrace

import (
	"errors"

	"casemate/platform"
)

// Open fails: the platform does not support this architecture yet.
func Open(platform.Options) (platform.Platform, error) {
	return nil, errors.New("the ptrace platform does not support arm64 yet")
}
