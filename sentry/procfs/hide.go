package procfs

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// A hiding says which processes of others a user sees (proc(5), "Mount options").
type hiding struct {
	level   int
	group   cred.GID // sees all, but for hidePtraceable
	pidOnly bool     // there is nothing but processes
}

// Levels of hidepid=.
const (
	hideNothing    = 0
	hideContents   = 1 // their directories cannot be entered
	hideProcess    = 2 // their directories are not to be seen
	hidePtraceable = 4 // as 2, but for those only whom the user may trace
)

var hideNames = map[int]string{hideNothing: "off", hideContents: "noaccess", hideProcess: "invisible", hidePtraceable: "ptraceable"}

// parse reads mount options; what they do not name is as in h. EINVAL.
func (h hiding) parse(data string) (hiding, error) {
	for o := range strings.SplitSeq(data, ",") {
		name, value, _ := strings.Cut(o, "=")
		switch name {
		case "":
		case "hidepid":
			level, err := strconv.Atoi(value)
			for l, n := range hideNames {
				if n == value {
					level, err = l, nil
				}
			}
			if _, ok := hideNames[level]; err != nil || !ok {
				return h, unix.EINVAL
			}
			h.level = level
		case "gid":
			gid, err := strconv.ParseUint(value, 10, 32)
			if err != nil {
				return h, unix.EINVAL
			}
			h.group = cred.GID(gid)
		case "subset":
			if value != "pid" {
				return h, unix.EINVAL
			}
			h.pidOnly = true
		default:
			return h, unix.EINVAL
		}
	}
	return h, nil
}

// options are the mount options as mountinfo has them.
func (fs *FileSystem) options() string {
	h, s := fs.hide.Load(), "rw"
	if fs.ReadOnly() {
		s = "ro"
	}
	if h.group != 0 {
		s += fmt.Sprintf(",gid=%d", h.group)
	}
	if h.level != hideNothing {
		s += ",hidepid=" + hideNames[h.level]
	}
	if h.pidOnly {
		s += ",subset=pid"
	}
	return s
}

// permits reports whether who uses ctx may do with t what the levels from least on
// forbid.
func (fs *FileSystem) permits(ctx *vfs.Context, t *kernel.Task, least int) bool {
	h := fs.hide.Load()
	switch {
	case h.level == hidePtraceable:
	case h.level < least, ctx.Cred.InGroup(h.group):
		return true
	}
	return mayTrace(ctx, t)
}

// mayTrace reports whether who uses ctx may read what only tracers may of t (ptrace(2),
// "Ptrace access mode checking").
func mayTrace(ctx *vfs.Context, t *kernel.Task) bool {
	caller, _ := ctx.Task.(*kernel.Task)
	if caller == nil || caller.ThreadGroup() == t.ThreadGroup() {
		return true
	}
	of, by := t.Credentials(), ctx.Cred
	same := by.FSUID == of.EUID && by.FSUID == of.SUID && by.FSUID == of.RUID &&
		by.FSGID == of.EGID && by.FSGID == of.SGID && by.FSGID == of.RGID
	return same || by.HasCap(unix.CAP_SYS_PTRACE)
}

// A guardedDir is the directory of a process where some are hidden.
type guardedDir struct{ dir }

// CheckPermission implements vfs.Permitter.
func (d *guardedDir) CheckPermission(ctx *vfs.Context, mask int) error {
	if !d.fs.permits(ctx, d.task, hideContents) {
		if d.fs.hide.Load().level == hideContents {
			return unix.EPERM
		}
		return unix.ENOENT
	}
	return d.DefaultPermission(ctx, mask)
}

// Getattr implements vfs.InodeOps.
func (d *guardedDir) Getattr(ctx *vfs.Context, mask uint32, sync uint32, st *unix.Statx_t) error {
	if !d.fs.permits(ctx, d.task, hideProcess) {
		return unix.ENOENT
	}
	return d.dir.Getattr(ctx, mask, sync, st)
}

// pidEntries are the root's fixed entries with subset=pid.
func pidEntries(all []entry) []entry {
	return slices.DeleteFunc(slices.Clone(all), func(e entry) bool { return e.name != "self" && e.name != "thread-self" })
}
