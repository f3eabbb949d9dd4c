package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// removedSuffix is what the name of a container's directory has when it is being removed. It
// makes a name that is not an id.
const removedSuffix = ":removed"

// removeDir deletes the container's directory.
func (c *Container) removeDir() error {
	// Under another name nobody tries to lock it any more.
	removed := c.dir + removedSuffix
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
	if err != nil {
		return fmt.Errorf("removing the container's state: %w", err)
	}
	return nil
}

// Forget removes what a delete that was killed may have left of a container that does not
// exist any more.
func (e *Env) Forget(id string) error {
	if !validID(id) {
		return ErrInvalidID
	}
	return os.RemoveAll(filepath.Join(e.Conf.Root, id+removedSuffix))
}

// abandoned reports whether nobody will delete the container: the runsc run that was to do so
// has been killed, or the command that was to make it, before it did anything.
func (c *Container) abandoned() bool {
	return c.bare || c.State.Keeper.PID != 0 && !c.State.Keeper.Alive()
}

// Sweep removes what killed commands have left and no engine will delete: abandoned
// containers, and what is left of directories that were being removed. What cannot be removed
// is logged.
func (e *Env) Sweep() {
	entries, err := os.ReadDir(e.Conf.Root)
	if err != nil {
		return // most likely there is none yet
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), removedSuffix) {
			err = os.RemoveAll(filepath.Join(e.Conf.Root, entry.Name()))
		} else {
			err = e.sweep(entry.Name())
		}
		if err != nil {
			e.Log.Warn("what a killed command has left is not wholly removed", "name", entry.Name(), "error", err)
		}
	}
}

// sweep deletes a container if it is abandoned.
func (e *Env) sweep(id string) error {
	c, err := e.Load(id)
	if err != nil || !c.abandoned() || c.acquire(unix.LOCK_NB) != nil {
		return nil // it is another command's affair
	}
	if err := c.read(); err != nil || !c.abandoned() {
		c.Unlock()
		return err
	}
	return c.Delete(true)
}
