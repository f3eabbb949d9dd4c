package procfs

import (
	"hash/fnv"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// A Sysctl has the parameters of /proc/sys/net, which each network namespace has of its own. Their
// names have dots.
type Sysctl struct {
	// List returns the names of the parameters that begin with a prefix, "net." or longer.
	List func(ns *kernel.NetNamespace, prefix string) []string
	// Get returns the text of a parameter, without a newline; ok is false if there is none of
	// that name. Set changes it.
	Get func(ns *kernel.NetNamespace, name string) (value string, ok bool)
	Set func(ns *kernel.NetNamespace, name, value string) error
}

// entriesWith are rootEntries with /proc/sys/net, which shows the parameters of the network
// namespace of who looks.
func entriesWith(s *Sysctl) []entry {
	root := slices.Clone(rootEntries)
	i := slices.IndexFunc(root, func(e entry) bool { return e.name == "sys" })
	root[i].entries = append(slices.Clone(root[i].entries), entry{name: "net", mode: 0o555, list: s.directory("net.")})
	return root
}

// netOf is the network namespace of who uses ctx.
func (fs *FileSystem) netOf(ctx *vfs.Context) *kernel.NetNamespace {
	if t, _ := ctx.Task.(*kernel.Task); t != nil {
		if n := t.Namespaces(); n != nil {
			return n.Net
		}
	}
	return fs.net
}

// component is a part of a parameter's name as a name in a directory, and back: what separates
// names in a part, the dot of a VLAN's device, say, is a slash in the parameter's (sysctl(8)).
var component = strings.NewReplacer("/", ".", ".", "/")

// directory is what a directory of parameters with that prefix holds.
func (s *Sysctl) directory(prefix string) *dynamic {
	return &dynamic{
		lookup: func(o *object, ctx *vfs.Context, name string) (*vfs.Inode, error) {
			ns := o.fs.netOf(ctx)
			full := prefix + component.Replace(name)
			var e *entry
			if _, ok := s.Get(ns, full); ok {
				e = s.parameter(name, full)
			} else if len(s.List(ns, full+".")) > 0 {
				e = &entry{name: name, mode: 0o555, list: s.directory(full + ".")}
			} else {
				return nil, unix.ENOENT
			}
			e.net = ns
			return o.make(o.fs, e, sysctlIno(full)), nil
		},
		each: func(o *object, ctx *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
			ns := o.fs.netOf(ctx)
			var names []string
			types := map[string]uint8{}
			for _, full := range s.List(ns, prefix) {
				part, _, deeper := strings.Cut(full[len(prefix):], ".")
				name := component.Replace(part)
				if types[name] == 0 {
					names = append(names, name)
				}
				if types[name] = unix.DT_REG; deeper {
					types[name] = unix.DT_DIR
				}
			}
			slices.Sort(names)
			for i := pos; i < int64(len(names)); i++ {
				full := prefix + component.Replace(names[i])
				if !emit(names[i], sysctlIno(full), types[names[i]], i+1) {
					return
				}
			}
		},
	}
}

// sysctlIno is the inode number of a parameter or of a directory of them.
func sysctlIno(full string) uint64 {
	h := fnv.New32a()
	h.Write([]byte(full))
	return 1<<52 | uint64(h.Sum32())
}

// parameter is the file of a parameter.
func (s *Sysctl) parameter(name, full string) *entry {
	return &entry{name: name, mode: 0o644,
		text: func(o *object, w *text) {
			v, _ := s.Get(o.entry.net, full)
			w.add(v + "\n")
		},
		store: func(o *object, ctx *vfs.Context, data string) error {
			if strings.HasSuffix(full, "forward") || strings.HasSuffix(full, "forwarding") {
				if !o.entry.net.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
					return unix.EPERM // whoever the file's owner is
				}
			}
			return s.Set(o.entry.net, full, data)
		},
	}
}
