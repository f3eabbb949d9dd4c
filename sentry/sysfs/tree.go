// Package sysfs is /sys, sysfs(5): what programs look for there of CPUs, memory and
// network interfaces.
package sysfs

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/textfs"
	"casemate/vfs"
)

// A Type is sysfs as mount(2) knows it.
type Type struct{ Kernel *kernel.Kernel }

// Name implements vfs.FSType.
func (*Type) Name() string { return "sysfs" }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType: an instance that shows the interfaces of the caller's
// network namespace, or the sandbox's if the caller is not a task. Options are ignored,
// as Linux does.
func (t *Type) Mount(ctx *vfs.Context, source string, _ uint32, _ string) (*vfs.Superblock, error) {
	fs := &fileSystem{k: t.Kernel, net: t.Kernel.RootNamespaces().Net}
	if task, _ := ctx.Task.(*kernel.Task); task != nil {
		fs.net = task.Namespaces().Net
	}
	return textfs.New(t.Kernel.VFS(), "sysfs", unix.SYSFS_MAGIC, source, fs.rootEntries), nil
}

// A fileSystem is what an instance shows.
type fileSystem struct {
	k   *kernel.Kernel
	net *kernel.NetNamespace
}

// rootEntries are /sys.
func (fs *fileSystem) rootEntries() []textfs.Entry {
	return []textfs.Entry{
		textfs.Dir("block"), textfs.Dir("bus"),
		textfs.Dir("class", textfs.Entry{Name: "net", Mode: 0o755, List: fs.netLinks}),
		textfs.Dir("dev", textfs.Dir("block"), textfs.Dir("char")),
		textfs.Dir("devices",
			textfs.Dir("system",
				textfs.Entry{Name: "cpu", Mode: 0o755, List: fs.cpus},
				textfs.Entry{Name: "node", Mode: 0o755, List: fs.nodes},
			),
			textfs.Dir("virtual", textfs.Entry{Name: "net", Mode: 0o755, List: fs.netDevices}),
		),
		textfs.Dir("firmware"),
		textfs.Dir("fs", textfs.Dir("cgroup")),
		textfs.Dir("kernel", textfs.Dir("mm", textfs.Dir("transparent_hugepage", textfs.File("enabled", "always [madvise] never")))),
		textfs.Dir("module"), textfs.Dir("power"),
	}
}

// cpuList is the list of all CPUs, in the format of cpuset(7).
func (fs *fileSystem) cpuList() string {
	if n := fs.k.CPUs(); n > 1 {
		return "0-" + strconv.Itoa(n-1)
	}
	return "0"
}

// cpus are /sys/devices/system/cpu.
func (fs *fileSystem) cpus() []textfs.Entry {
	list := []textfs.Entry{textfs.File("online", fs.cpuList()), textfs.File("possible", fs.cpuList()), textfs.File("present", fs.cpuList())}
	for i := range fs.k.CPUs() {
		list = append(list, textfs.Dir(fmt.Sprintf("cpu%d", i), textfs.Dir("topology",
			textfs.File("core_id", strconv.Itoa(i)), textfs.File("physical_package_id", "0"), textfs.File("thread_siblings_list", strconv.Itoa(i)))))
	}
	return list
}

// nodes are /sys/devices/system/node: one node has all.
func (fs *fileSystem) nodes() []textfs.Entry {
	return []textfs.Entry{textfs.File("online", "0"), textfs.File("possible", "0"), textfs.Dir("node0", textfs.File("cpulist", fs.cpuList()), textfs.File("distance", "10"))}
}
