package boot

import (
	"errors"
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// Engines look at what is said of a container that does not start, so the words here
// are runc's.

// initError is of what was to be set up in the container.
func initError(err error) error { return &initFailure{err} }

type initFailure struct{ err error }

func (e *initFailure) Error() string { return "error during container init: " + e.err.Error() }
func (e *initFailure) Unwrap() error { return e.err }

// A startError says why the container's program cannot run. code is the exit code that
// a shell gives then.
type startError struct {
	err  error
	code int
}

func (e *startError) Error() string { return e.err.Error() }

// An execError is the failure of execve(2) with a program that is there. Under runc the
// container runs by then: its process writes the text to its standard error and ends.
type execError struct {
	program string
	err     error
}

func (e *execError) Error() string { return "exec " + e.program + ": " + e.err.Error() }

// makeCwd makes the working directory if it is not there, as runc does.
func (s *container) makeCwd(cwd string) error {
	p, err := s.mountPoint(cwd, true)
	switch {
	case err == nil:
		dir := p.Inode().IsDir()
		p.DecRef()
		if dir {
			return nil
		}
		err = unix.ENOTDIR
	case errors.Is(err, unix.EACCES):
		return nil // the container's user may have more luck
	}
	return fmt.Errorf("mkdir %s: %w", cwd, err)
}

// describe words the error err of creating the process p for the user c.
func (s *container) describe(p *specs.Process, c *cred.Credentials, err error) error {
	user := vfs.NewContext(c, s.mounts)
	cwd, werr := user.Walk(vfs.Start{}, p.Cwd, vfs.WalkFollow|vfs.WalkDirectory)
	if werr != nil {
		return initError(fmt.Errorf("chdir to cwd (%q) set in config.json failed: %w", p.Cwd, werr))
	}
	cwd.DecRef()
	name := p.Args[0]
	if strings.Contains(name, "/") {
		switch lerr := executable(user, p.Cwd, name); lerr {
		case nil:
			return &execError{name, err}
		case unix.ENOENT, unix.ENOTDIR:
			return &startError{fmt.Errorf("exec: %q: stat %s: %w", name, name, lerr), 127}
		default:
			return &startError{fmt.Errorf("exec: %q: %w", name, lerr), 126}
		}
	}
	for _, dir := range searchPath(p.Env) {
		if full := path.Join(dir, name); name != "" && executable(user, p.Cwd, full) == nil {
			return &execError{full, err}
		}
	}
	return &startError{fmt.Errorf("exec: %q: executable file not found in $PATH", name), 127}
}

// executable returns why the file called name cannot be a program for the user; nil if
// it can.
func executable(user *vfs.Context, cwd, name string) error {
	if !path.IsAbs(name) {
		name = path.Join(cwd, name)
	}
	p, err := user.Walk(vfs.Start{}, name, vfs.WalkFollow)
	if err != nil {
		return err
	}
	defer p.DecRef()
	if p.Inode().IsDir() {
		return unix.EACCES
	}
	return user.Access(p, unix.X_OK)
}

// searchPath are the directories of $PATH.
func searchPath(env []string) []string {
	list := ""
	for _, e := range env {
		if value, ok := strings.CutPrefix(e, "PATH="); ok {
			list = value
		}
	}
	return strings.Split(list, ":")
}
