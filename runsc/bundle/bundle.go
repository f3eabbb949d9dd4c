// Package bundle reads and checks OCI bundles (runtime-spec, bundle.md and
// config.md).
package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Load reads config.json of the bundle in dir and checks what the runtime relies
// on. In the result root.path is absolute, and so are the sources of bind mounts.
func Load(dir string) (*specs.Spec, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("bundle %q: %w", dir, err)
	}
	path := filepath.Join(dir, "config.json")
	data, err := os.ReadFile(path)
	if err != nil {
		if errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("no OCI bundle in %s: config.json does not exist (runsc spec writes one)", dir)
		}
		return nil, fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	spec := new(specs.Spec)
	if err := json.Unmarshal(data, spec); err != nil {
		return nil, fmt.Errorf("parsing %s: %w", path, err)
	}
	if err := check(spec); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !filepath.IsAbs(spec.Root.Path) {
		spec.Root.Path = filepath.Join(dir, spec.Root.Path)
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		if IsBind(m) && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(dir, m.Source)
		}
	}
	info, err := os.Stat(spec.Root.Path)
	if err != nil {
		return nil, fmt.Errorf("root file system: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("root file system %s is not a directory", spec.Root.Path)
	}
	return spec, nil
}

func check(spec *specs.Spec) error {
	if spec.Version == "" {
		return errors.New("ociVersion is missing")
	}
	if !strings.HasPrefix(spec.Version, "1.") {
		return fmt.Errorf("ociVersion %q is not supported: this runtime implements 1.0 to 1.3", spec.Version)
	}
	if spec.Root == nil || spec.Root.Path == "" {
		return errors.New("root.path is missing")
	}
	if err := CheckProcess(spec.Process); err != nil {
		return err
	}
	for _, m := range spec.Mounts {
		if m.Destination == "" {
			return errors.New("mounts: a destination is missing")
		}
	}
	if spec.Linux != nil {
		seen := map[specs.LinuxNamespaceType]bool{}
		for _, ns := range spec.Linux.Namespaces {
			if seen[ns.Type] {
				return fmt.Errorf("linux.namespaces: %s occurs twice", ns.Type)
			}
			seen[ns.Type] = true
		}
	}
	return nil
}

// CheckProcess checks a process, which may be nil.
func CheckProcess(p *specs.Process) error {
	if p == nil {
		return errors.New("process is missing")
	}
	if len(p.Args) == 0 {
		return errors.New("process.args is empty")
	}
	if !filepath.IsAbs(p.Cwd) {
		return fmt.Errorf("process.cwd %q is not an absolute path", p.Cwd)
	}
	for _, e := range p.Env {
		if !strings.Contains(e, "=") {
			return fmt.Errorf("process.env has %q, which is not of the form NAME=VALUE", e)
		}
	}
	seen := map[string]bool{}
	for _, r := range p.Rlimits {
		if _, ok := Rlimits[r.Type]; !ok {
			return fmt.Errorf("process.rlimits: unknown type %q", r.Type)
		}
		if seen[r.Type] {
			return fmt.Errorf("process.rlimits: %s occurs twice", r.Type)
		}
		seen[r.Type] = true
		if r.Soft > r.Hard {
			return fmt.Errorf("process.rlimits: %s: soft limit %d is above the hard limit %d", r.Type, r.Soft, r.Hard)
		}
	}
	return nil
}

// IsBind reports whether m is a bind mount.
func IsBind(m *specs.Mount) bool {
	if m.Type == "bind" {
		return true
	}
	for _, o := range m.Options {
		if o == "bind" || o == "rbind" {
			return true
		}
	}
	return false
}
