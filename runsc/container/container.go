// Package container keeps the state of containers on the host: one directory
// each below the root directory, with a lock and a state file.
package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
)

var (
	// ErrExists says that a container of that id exists already.
	ErrExists = errors.New("container with given ID already exists")
	// ErrInvalidID says that an id has other characters than letters, digits and _+-.
	ErrInvalidID = errors.New("invalid container ID format")
	// ErrNotExist says that there is no container of that id.
	ErrNotExist = errors.New("container does not exist")
)

// State is what the state file of a container holds.
type State struct {
	ID      string    `json:"id"`
	Bundle  string    `json:"bundle"`
	Created time.Time `json:"created"`
	Sandbox Process   `json:"sandbox"`
	Gofer   Process   `json:"gofer"`
	// Foreground containers end with the command that has made them, which removes
	// them.
	Foreground bool              `json:"foreground,omitempty"`
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

// The files in a container's directory.
const (
	lockName  = "lock"
	stateName = "state.json"
)

// validID reports whether id may be that of a container.
func validID(id string) bool {
	for _, c := range id {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_+-.", c)) {
			return false
		}
	}
	return id != "" && id != "." && id != ".."
}

// Create makes the directory of a new container below root and locks it. It
// fails with ErrExists if there is one already, but takes over what a killed command
// has left of a container in the foreground.
func Create(root, id, bundle string) (*Container, error) {
	if !validID(id) {
		return nil, ErrInvalidID
	}
	if err := os.MkdirAll(root, 0o711); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	dir := filepath.Join(root, id)
	c := &Container{dir: dir, State: State{ID: id, Bundle: bundle, Created: time.Now().UTC(), Foreground: true}}
	for {
		err := os.Mkdir(dir, 0o711)
		old := errors.Is(err, os.ErrExist)
		if err != nil && !old {
			return nil, fmt.Errorf("creating the container's state directory: %w", err)
		}
		if err := c.acquire(); err == errGone {
			continue
		} else if err != nil {
			return nil, err
		}
		if !old {
			return c, nil
		}
		if err := c.takeOver(); err != nil {
			c.lock.Close()
			return nil, err
		}
		return c, nil
	}
}

// errGone says that a directory has been removed while it was being locked.
var errGone = errors.New("container is gone")

// acquire locks the container. It fails with ErrExists if another has locked it.
func (c *Container) acquire() error {
	name := filepath.Join(c.dir, lockName)
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return fmt.Errorf("opening the container's lock: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		c.lock = f
		// The directory may have been removed since the file was opened, and made again.
		mine, err1 := f.Stat()
		there, err2 := os.Stat(name)
		if err1 == nil && err2 == nil && os.SameFile(mine, there) {
			return nil
		}
		err = errGone
	}
	f.Close()
	switch err {
	case errGone:
		return err
	case unix.EWOULDBLOCK:
		return ErrExists
	}
	return fmt.Errorf("locking the container: %w", err)
}

// Dir is the container's directory.
func (c *Container) Dir() string { return c.dir }

// Save writes the state file, atomically.
func (c *Container) Save() error {
	data, err := json.MarshalIndent(&c.State, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(c.dir, stateName)
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
	// Under another name, that is not an id, nobody tries to lock it any more.
	removed := c.dir + ":removed"
	err := os.RemoveAll(removed)
	if err == nil {
		err = os.Rename(c.dir, removed)
	}
	for err == nil {
		// One who has begun to open the lock may still put a new one there.
		if err = os.RemoveAll(removed); !errors.Is(err, unix.ENOTEMPTY) {
			break
		}
		err = nil
	}
	c.lock.Close()
	if err != nil {
		return fmt.Errorf("removing the container's state: %w", err)
	}
	return nil
}
