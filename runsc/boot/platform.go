package boot

import (
	"errors"
	"fmt"
	"log/slog"

	"casemate/platform"
	"casemate/platform/ptrace"
	"casemate/platform/systrap"
)

// platforms are all that there are, the fastest first.
var platforms = []struct {
	name string
	open func(platform.Options) (platform.Platform, error)
}{
	{"systrap", systrap.Open},
	{"ptrace", ptrace.Open},
}

// openPlatform opens the platform called name or, for auto, the fastest that
// works on this host.
func openPlatform(name string, o platform.Options, log *slog.Logger) (platform.Platform, error) {
	var failed error
	for _, p := range platforms {
		if name != p.name && name != "auto" {
			continue
		}
		opened, err := p.open(o)
		if err == nil {
			log.Info("platform chosen", "platform", p.name, "asked", name)
			return opened, nil
		}
		log.Info("platform does not work here", "platform", p.name, "error", err)
		failed = errors.Join(failed, fmt.Errorf("platform %s: %w", p.name, err))
	}
	return nil, failed
}
