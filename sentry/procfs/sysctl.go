package procfs

import (
	"slices"
	"strings"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// A Sysctl has the parameters of /proc/sys that others own, by their names with dots.
type Sysctl struct {
	Names []string
	// Get returns the text of a parameter, without a newline. Set changes it.
	Get func(ns *kernel.NetNamespace, name string) string
	Set func(ns *kernel.NetNamespace, name, value string) error
}

// entriesWith are rootEntries with the parameters added to /proc/sys.
func entriesWith(s *Sysctl) []entry {
	root := slices.Clone(rootEntries)
	for i := range root {
		if root[i].name != "sys" {
			continue
		}
		root[i].entries = slices.Clone(root[i].entries)
		for _, name := range s.Names {
			root[i].entries = s.add(root[i].entries, name, strings.Split(name, "."))
		}
	}
	return root
}

// add adds a parameter to a directory's entries; path is what is left of its name.
func (s *Sysctl) add(entries []entry, name string, path []string) []entry {
	if len(path) == 1 {
		return append(entries, entry{name: path[0], mode: 0o644,
			text: func(o *object, w *text) { w.add(s.Get(o.fs.k.RootNamespaces().Net, name) + "\n") },
			store: func(o *object, ctx *vfs.Context, data string) error {
				ns := o.fs.k.RootNamespaces().Net
				if t := o.caller(ctx); t != nil && t.Namespaces() != nil {
					ns = t.Namespaces().Net
				}
				return s.Set(ns, name, data)
			},
		})
	}
	i := slices.IndexFunc(entries, func(e entry) bool { return e.name == path[0] })
	if i < 0 {
		i = len(entries)
		entries = append(entries, entry{name: path[0], mode: 0o555})
	}
	entries[i].entries = s.add(slices.Clone(entries[i].entries), name, path[1:])
	return entries
}
