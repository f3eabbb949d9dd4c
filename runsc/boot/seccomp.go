package boot

import (
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/profile"
	"casemate/sentry/kernel"
)

// loadProfile makes the filter that linux.seccomp asks for: the sandbox's kernel runs it,
// for every process of the container.
func (s *container) loadProfile() error {
	if s.Spec.Linux == nil || s.Spec.Linux.Seccomp == nil || !s.Config.OCISeccomp {
		return nil
	}
	p := s.Spec.Linux.Seccomp
	table := s.kernel.Table()
	numbers := map[string]uint32{}
	for nr := range uint64(kernel.MaxSyscall) {
		if e := table.Entry(nr); e != nil {
			numbers[e.Name] = uint32(nr)
		}
	}
	prog, err := profile.Compile(p, func(name string) (uint32, bool) {
		nr, ok := numbers[name]
		return nr, ok
	})
	if err != nil {
		return err
	}
	f, err := kernel.NewSeccompFilter(prog, slices.Contains(p.Flags, specs.LinuxSeccompFlagLog))
	if err != nil {
		return fmt.Errorf("seccomp: a program of %d instructions: %w", len(prog), err)
	}
	s.filters = []*kernel.SeccompFilter{f}
	return nil
}
