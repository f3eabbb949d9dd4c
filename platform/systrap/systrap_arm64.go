package systrap

import (
	"errors"

	"casemate/platform"
)

// Open is not supported yet on this architecture.
func Open(platform.Options) (platform.Platform, error) {
	return nil, errors.New("systrap: not supported yet on arm64")
}
