package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/cgroups/v3/cgroup1"
)

// freezing is how long Freeze waits for processes that run at the time.
const freezing = 100 * time.Millisecond

// Freeze stops all processes in the group. The host calls a group frozen only when no
// process is in an uninterruptible wait; stubs that wait for the sentry, which is frozen,
// are, for good. They do not run any more either: a process that leaves such a wait is
// frozen before it is back in user mode. So Freeze does not insist.
func (g *Group) Freeze() error {
	if g.v2 != nil {
		return g.v2.Freeze()
	}
	if err := g.setFrozen("FROZEN"); err != nil {
		return err
	}
	for deadline := time.Now().Add(freezing); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if g.frozen("FROZEN") {
			break
		}
	}
	return nil
}

// Thaw lets them go on.
func (g *Group) Thaw() error {
	if g.v2 != nil {
		return g.v2.Thaw()
	}
	return g.setFrozen("THAWED")
}

// Frozen reports whether Freeze was called, and Thaw was not.
func (g *Group) Frozen() bool { return g.frozen("FROZEN") || g.frozen("FREEZING") }

// freezer returns the file that says whether the group is frozen, "" if there is none.
func (g *Group) freezer() string {
	if g.v2 != nil {
		return filepath.Join(g.dir(""), "cgroup.freeze")
	}
	if dir := g.dir("freezer"); dir != "" {
		return filepath.Join(dir, "freezer.state")
	}
	return ""
}

// setFrozen sets the state of a freezer of version 1.
func (g *Group) setFrozen(state string) error {
	file := g.freezer()
	if file == "" {
		return fmt.Errorf("the host has no freezer: %w", cgroup1.ErrFreezerNotSupported)
	}
	return os.WriteFile(file, []byte(state), 0)
}

// frozen reports whether the group is in a state of version 1's names.
func (g *Group) frozen(state string) bool {
	data, err := os.ReadFile(g.freezer())
	text := strings.TrimSpace(string(data))
	return err == nil && (text == state || g.v2 != nil && text == "1")
}
