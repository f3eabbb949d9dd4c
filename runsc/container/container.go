// Package container keeps the state of containers on the host: one directory
// each below the root directory, with a lock and a state file.
package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
)

var (
	// ErrExists says that a container of that id exists already.
	ErrExists = errors.New("container with given ID already exists")
	// ErrNotExist says that there is no container of that id.
	ErrNotExist = errors.New("container does not exist")
)

// State is what the state file of a container holds.
type State struct {
	ID         string            `json:"id"`
	Bundle     string            `json:"bundle"`
	Created    time.Time         `json:"created"`
	SandboxPID int               `json:"sandboxPid"`
	GoferPID   int               `json:"goferPid"`
	Annotate   map[string]string `json:"annotations,omitempty"`
	Cgroup     cgroup.Paths      `json:"cgroup,omitempty"`
}

// A Container is a container's directory, which is locked while the Container is
// open.
type Container struct {
	State State
	dir   string
	lock  *os.File
}

var validID = regexp.MustCompile(`^[\w+.-]+$`)

// Create makes the directory of a new container below root and locks it. It
// fails with ErrExists if there is one already.
func Create(root, id, bundle string) (*Container, error) {
	if !validID.MatchString(id) || id == "." || id == ".." {
		return nil, fmt.Errorf("invalid container id %q: only letters, digits and any of _+-. are allowed", id)
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	dir := filepath.Join(root, id)
	if err := os.Mkdir(dir, 0o711); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("%w: %s", ErrExists, id)
		}
		return nil, fmt.Errorf("creating the container's state directory: %w", err)
	}
	c := &Container{dir: dir, State: State{ID: id, Bundle: bundle, Created: time.Now().UTC()}}
	if err := c.acquire(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return c, nil
}

func (c *Container) acquire() error {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("opening the container's lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return fmt.Errorf("locking the container: %w", err)
	}
	c.lock = f
	return nil
}

// Dir is the container's directory.
func (c *Container) Dir() string { return c.dir }

// Save writes the state file, atomically.
func (c *Container) Save() error {
	data, err := json.MarshalIndent(&c.State, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, "state.json")
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return fmt.Errorf("writing the container's state: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the container's state: %w", err)
	}
	return nil
}

// Remove deletes the container's directory and unlocks it.
func (c *Container) Remove() error {
	err := os.RemoveAll(c.dir)
	c.lock.Close()
	if err != nil {
		return fmt.Errorf("removing the container's state: %w", err)
	}
	return nil
}
