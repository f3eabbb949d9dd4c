package procfs

import (
	"casemate/vfs"
)

// mounts are the mounts that o's task sees.
func (o *object) mounts() []vfs.MountInfo {
	fs := o.task.FSState()
	if fs == nil {
		return nil
	}
	root := fs.Root()
	defer root.DecRef()
	return o.task.MountNamespace().Mounts(root)
}

// showMountinfo is /proc/PID/mountinfo (proc_pid_mountinfo(5)).
func showMountinfo(o *object, w *text) {
	for _, m := range o.mounts() {
		w.printf("%d %d %d:%d %s %s %s", m.ID, m.ParentID, m.Dev.Major(), m.Dev.Minor(), escape(m.Root), escape(m.Point), m.Options)
		if m.Shared != 0 {
			w.printf(" shared:%d", m.Shared)
		}
		if m.Master != 0 {
			w.printf(" master:%d", m.Master)
		}
		if m.Unbindable {
			w.add(" unbindable")
		}
		w.printf(" - %s %s %s\n", m.Type, escape(m.Source), m.SuperOptions)
	}
}

// showMounts is /proc/PID/mounts, in the format of fstab(5).
func showMounts(o *object, w *text) {
	for _, m := range o.mounts() {
		options := m.Options
		if rest, ok := cutOption(m.SuperOptions); ok {
			options += "," + rest
		}
		w.printf("%s %s %s %s 0 0\n", escape(m.Source), escape(m.Point), m.Type, options)
	}
}

// cutOption drops the first option, which is rw or ro.
func cutOption(options string) (rest string, ok bool) {
	for i := range options {
		if options[i] == ',' {
			return options[i+1:], true
		}
	}
	return "", false
}
