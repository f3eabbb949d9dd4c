package cgroup

import (
	"os"
	"path/filepath"
	"strings"
)

// Frozen reports whether Freeze was called, and Thaw was not.
func (g *Group) Frozen() bool {
	file, frozen := "freezer.state", "FROZEN"
	if g.v2 != nil {
		file, frozen = "cgroup.freeze", "1"
	}
	dir := g.dir("freezer")
	if dir == "" {
		return false
	}
	data, err := os.ReadFile(filepath.Join(dir, file))
	return err == nil && strings.TrimSpace(string(data)) == frozen
}
