package sysfs

import (
	"fmt"
	"strconv"
)

// rootEntries are /sys.
func (fs *fileSystem) rootEntries() []entry {
	return []entry{
		dir("block"), dir("bus"),
		dir("class", entry{name: "net", mode: 0o755, list: fs.netLinks}),
		dir("dev", dir("block"), dir("char")),
		dir("devices",
			dir("system",
				entry{name: "cpu", mode: 0o755, list: fs.cpus},
				entry{name: "node", mode: 0o755, list: fs.nodes},
			),
			dir("virtual", entry{name: "net", mode: 0o755, list: fs.netDevices}),
		),
		dir("firmware"),
		dir("fs", dir("cgroup")),
		dir("kernel", dir("mm", dir("transparent_hugepage", file("enabled", "always [madvise] never")))),
		dir("module"), dir("power"),
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
func (fs *fileSystem) cpus() []entry {
	list := []entry{file("online", fs.cpuList()), file("possible", fs.cpuList()), file("present", fs.cpuList())}
	for i := range fs.k.CPUs() {
		list = append(list, dir(fmt.Sprintf("cpu%d", i), dir("topology",
			file("core_id", strconv.Itoa(i)), file("physical_package_id", "0"), file("thread_siblings_list", strconv.Itoa(i)))))
	}
	return list
}

// nodes are /sys/devices/system/node: one node has all.
func (fs *fileSystem) nodes() []entry {
	return []entry{file("online", "0"), file("possible", "0"), dir("node0", file("cpulist", fs.cpuList()), file("distance", "10"))}
}
