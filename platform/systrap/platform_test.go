//go:build amd64

package systrap

import (
	"testing"

	"casemate/platform/platformtest"
)

func TestPlatform(t *testing.T) { platformtest.Run(t, Open) }
