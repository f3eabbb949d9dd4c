// Package bundle reads and checks OCI bundles (runtime-spec, bundle.md and
// config.md).
package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
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
			return nil, fmt.Errorf("JSON specification file config.json not found in %s (runsc spec writes one)", dir)
		}
		return nil, fmt.Errorf("reading the bundle's configuration: %w", err)
	}
	spec := new(specs.Spec)
	if err := json.NewDecoder(bytes.NewReader(data)).Decode(spec); err != nil {
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
	if err == nil && !info.IsDir() {
		err = &os.PathError{Op: "stat", Path: spec.Root.Path, Err: unix.ENOTDIR}
	}
	if err != nil {
		return nil, fmt.Errorf("invalid rootfs: %w", err)
	}
	return spec, nil
}

func check(spec *specs.Spec) error {
	if err := checkVersion(spec.Version); err != nil {
		return err
	}
	if err := CheckProcess(spec.Process); err != nil {
		return err
	}
	if spec.Root == nil || spec.Root.Path == "" {
		return errors.New("root must be specified")
	}
	for _, m := range spec.Mounts {
		if m.Destination == "" {
			return errors.New("mounts: a destination is missing")
		}
	}
	if spec.Linux != nil {
		seen := map[specs.LinuxNamespaceType]bool{}
		for _, ns := range spec.Linux.Namespaces {
			if !slices.Contains(namespaces, ns.Type) {
				return fmt.Errorf("namespace {%q %q} does not exist", ns.Type, ns.Path)
			}
			if seen[ns.Type] {
				return fmt.Errorf("malformed spec file: duplicated ns {%q %q}", ns.Type, ns.Path)
			}
			seen[ns.Type] = true
		}
	}
	return nil
}

// semantic matches versions (semver.org), whose patch number may be missing.
var semantic = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)(\.(0|[1-9]\d*))?(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
})

// checkVersion accepts the version of a configuration that this runtime can read:
// 1.0.0 up to that which it implements, and later ones of 1, which add only what may
// be ignored (runtime-spec, config.md, "Extensibility").
func checkVersion(version string) error {
	if version == "" {
		return errors.New("ociVersion is missing")
	}
	v := semantic().FindStringSubmatch(version)
	if v == nil {
		return fmt.Errorf("ociVersion %q is not a version (https://semver.org)", version)
	}
	if v[1] != "1" {
		return fmt.Errorf("ociVersion %s is not supported: this runtime implements 1.0.0 to %s", version, specs.Version)
	}
	return nil
}

var namespaces = []specs.LinuxNamespaceType{
	specs.PIDNamespace, specs.NetworkNamespace, specs.MountNamespace, specs.IPCNamespace, specs.UTSNamespace,
	specs.UserNamespace, specs.CgroupNamespace, specs.TimeNamespace,
}

// CheckProcess checks a process, which may be nil.
func CheckProcess(p *specs.Process) error {
	if p == nil {
		return errors.New("process property must not be empty")
	}
	if p.Cwd == "" {
		return errors.New("Cwd property must not be empty")
	}
	if !filepath.IsAbs(p.Cwd) {
		return errors.New("Cwd must be an absolute path")
	}
	if len(p.Args) == 0 {
		return errors.New("args must not be empty")
	}
	for _, e := range p.Env {
		if !strings.Contains(e, "=") {
			return fmt.Errorf("process.env has %q, which is not of the form NAME=VALUE", e)
		}
	}
	seen := map[string]bool{}
	for _, r := range p.Rlimits {
		if _, ok := Rlimits[r.Type]; !ok {
			return fmt.Errorf("wrong rlimit value: %s", r.Type)
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
