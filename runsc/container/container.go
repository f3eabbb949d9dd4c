// Package container keeps containers on the host: their directories with their state,
// their life from create to delete (runtime-spec, runtime.md "Lifecycle"), hooks and
// control groups.
//
// The directory of a container holds a lock, which create, start, pause, resume, update
// and delete take; the state file, which is replaced atomically and can be read at any
// time; and, for the first container of a sandbox, the control socket.
package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
	"casemate/runsc/config"
	"casemate/runsc/sandbox"
)

var (
	// ErrExists says that a container of that id exists already.
	ErrExists = errors.New("container with given ID already exists")
	// ErrNotExist says that there is no container of that id.
	ErrNotExist = errors.New("container does not exist")
	// ErrInvalidID says that an id has characters that it may not have.
	ErrInvalidID = errors.New("invalid container ID format")
	// ErrNotRunning says that a container's process does not run.
	ErrNotRunning = errors.New("container not running")
)

// Env is what all containers have in common: the global options, and the log.
type Env struct {
	Conf    *config.Config
	Log     *slog.Logger
	Version string
	// Warn tells the person of what is not as it was asked for.
	Warn func(message string)
}

// A Process names a process of the host for good: a number may be given to another
// process later, but not with the same start.
type Process struct {
	PID   int    `json:"pid"`
	Start uint64 `json:"start"` // in clock ticks since the host's boot
}

// State is what the state file of a container holds.
type State struct {
	ID          string            `json:"id"`
	Bundle      string            `json:"bundle"`
	Rootfs      string            `json:"rootfs"`
	Created     time.Time         `json:"created"`
	Phase       Phase             `json:"phase"`
	Annotations map[string]string `json:"annotations,omitempty"`
	// Init is the process of the host that ends with the container's first process, and
	// with its exit code: the sentry, or a monitor if the container is not the first of
	// its sandbox.
	Init Process `json:"init"`
	// Sandbox is the id of the sandbox's first container.
	Sandbox string        `json:"sandbox"`
	Network network       `json:"network"`
	Sentry  Process       `json:"sentry"`
	Gofer   Process       `json:"gofer"`
	Cgroup  *cgroup.Place `json:"cgroup,omitempty"`
	// NetNS is the host's network namespace whose network the container takes over, ""
	// if there is none, or it shares that of another container.
	NetNS string `json:"netns,omitempty"`
	// Paused says that the sandbox has stopped the container's processes.
	Paused bool `json:"paused,omitempty"`
	// Keeper is the runsc run in the foreground that deletes the container.
	Keeper Process `json:"keeper"`
	Owner  int     `json:"owner"` // uid
}

// A Phase is how far a container's life has come, as far as runsc has brought it.
type Phase string

const (
	Creating Phase = "creating"
	Created  Phase = "created"
	Started  Phase = "started"
)

// A Container is one that exists.
type Container struct {
	State State
	bare  bool // there is no state file (yet)
	env   *Env
	dir   string
	lock  *os.File // nil if it is not locked

	sandbox *sandbox.Sandbox // that this process has started for the container, or nil
}

// validID reports whether id may be that of a container.
func validID(id string) bool {
	for _, c := range id {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("_+-.", c)) {
			return false
		}
	}
	return id != "" && id != "." && id != ".."
}

// make makes the directory of a new container and locks it. It fails with ErrExists if
// there is one already, but takes over what a killed command has left.
func (e *Env) make(id string) (*Container, error) {
	if !validID(id) {
		return nil, ErrInvalidID
	}
	if err := os.MkdirAll(e.Conf.Root, 0o711); err != nil {
		return nil, fmt.Errorf("creating the state directory: %w", err)
	}
	c := &Container{env: e, dir: filepath.Join(e.Conf.Root, id)}
	for {
		if err := os.Mkdir(c.dir, 0o711); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, fmt.Errorf("creating the container's state directory: %w", err)
		}
		switch err := c.acquire(unix.LOCK_NB); {
		case err == ErrNotExist:
			continue // it has been removed since
		case err == unix.EWOULDBLOCK:
			return nil, ErrExists
		case err != nil:
			return nil, err
		}
		if _, err := os.Stat(c.stateFile()); errors.Is(err, os.ErrNotExist) {
			return c, nil // it is new, or its command was killed before it did anything
		}
		err := c.read()
		if err == nil && !c.abandoned() {
			err = ErrExists
		}
		if err != nil {
			c.Unlock()
			return nil, err
		}
		if err := c.Delete(true); err != nil {
			return nil, err
		}
	}
}

// Load reads a container's state. ErrNotExist.
func (e *Env) Load(id string) (*Container, error) {
	if !validID(id) {
		return nil, ErrInvalidID
	}
	c := &Container{env: e, dir: filepath.Join(e.Conf.Root, id)}
	return c, c.read()
}

// Open locks a container, waiting for others to unlock it, and reads its state.
// ErrNotExist.
func (e *Env) Open(id string) (*Container, error) {
	if !validID(id) {
		return nil, ErrInvalidID
	}
	c := &Container{env: e, dir: filepath.Join(e.Conf.Root, id)}
	if err := c.acquire(0); err != nil {
		return nil, err
	}
	if err := c.read(); err != nil {
		c.Unlock()
		return nil, err
	}
	return c, nil
}

// List returns all containers, by id. Those that cannot be read, because they are only
// just being made or deleted, are left out.
func (e *Env) List() ([]*Container, error) {
	entries, err := os.ReadDir(e.Conf.Root)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var all []*Container
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		if c, err := e.Load(entry.Name()); err == nil && !c.bare {
			all = append(all, c)
		}
	}
	return all, nil
}

func (c *Container) stateFile() string { return filepath.Join(c.dir, "state.json") }

func (c *Container) read() error {
	data, err := os.ReadFile(c.stateFile())
	if errors.Is(err, os.ErrNotExist) {
		if _, derr := os.Stat(c.dir); derr != nil {
			return ErrNotExist
		}
		// Its runsc create has died before it wrote anything.
		c.State, c.bare = State{ID: filepath.Base(c.dir), Phase: Creating}, true
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading the container's state: %w", err)
	}
	c.State, c.bare = State{}, false
	if err := json.Unmarshal(data, &c.State); err != nil {
		return fmt.Errorf("reading the container's state: %s: %w", c.stateFile(), err)
	}
	return nil
}

// acquire locks the container; flag may be LOCK_NB (flock(2)): EWOULDBLOCK. ErrNotExist if
// it is deleted meanwhile.
func (c *Container) acquire(flag int) error {
	path := filepath.Join(c.dir, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, os.ErrNotExist) {
		return ErrNotExist
	}
	if err != nil {
		return fmt.Errorf("opening the container's lock: %w", err)
	}
	for {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|flag); err != unix.EINTR {
			break
		}
	}
	if err == unix.EWOULDBLOCK {
		f.Close()
		return err
	}
	if err != nil {
		f.Close()
		return fmt.Errorf("locking the container: %w", err)
	}
	if !sameFile(f, path) {
		f.Close()
		return ErrNotExist
	}
	c.lock = f
	return nil
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// Lock locks the container again, after Unlock, and reads its state. ErrNotExist.
func (c *Container) Lock() error {
	if err := c.acquire(0); err != nil {
		return err
	}
	return c.read()
}

// Unlock unlocks the container.
func (c *Container) Unlock() {
	if c.lock != nil {
		c.lock.Close()
		c.lock = nil
	}
}

// save writes the state file, atomically.
func (c *Container) save() error {
	data, err := json.MarshalIndent(&c.State, "", "  ")
	if err != nil {
		return err
	}
	if err := replace(c.stateFile(), data); err != nil {
		return fmt.Errorf("writing the container's state: %w", err)
	}
	return nil
}

// replace writes a file atomically.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
