package procfs

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// rootEntries are /proc but for the processes.
var rootEntries = []entry{
	{name: "self", mode: 0o777, link: linkSelf},
	{name: "thread-self", mode: 0o777, link: linkThreadSelf},
	{name: "cgroups", mode: 0o444, text: showCgroups},
	{name: "cmdline", mode: 0o444, text: func(o *object, w *text) { w.add(o.fs.opts.CommandLine) }},
	{name: "cpuinfo", mode: 0o444, text: showCPUInfo},
	{name: "devices", mode: 0o444, text: showDevices},
	{name: "filesystems", mode: 0o444, text: showFilesystems},
	{name: "loadavg", mode: 0o444, text: showLoadavg},
	{name: "meminfo", mode: 0o444, text: showMeminfo},
	{name: "misc", mode: 0o444, text: func(*object, *text) {}},
	{name: "modules", mode: 0o444, text: func(*object, *text) {}},
	{name: "mounts", mode: 0o777, link: func(*object, *vfs.Context) (string, error) { return "self/mounts", nil }},
	{name: "net", mode: 0o777, link: func(*object, *vfs.Context) (string, error) { return "self/net", nil }},
	{name: "partitions", mode: 0o444, text: func(_ *object, w *text) { w.add("major minor  #blocks  name\n\n") }},
	{name: "stat", mode: 0o444, text: showStat},
	{name: "swaps", mode: 0o444, text: func(_ *object, w *text) {
		w.add("Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n")
	}},
	{name: "sys", mode: 0o555, entries: sysEntries},
	{name: "uptime", mode: 0o444, text: showUptime},
	{name: "version", mode: 0o444, text: func(o *object, w *text) { w.add(o.fs.opts.Version) }},
	{name: "vmstat", mode: 0o444, text: showVmstat},
}

// caller is the task on whose behalf ctx is used; nil if it is not in the
// instance's pid namespace.
func (o *object) caller(ctx *vfs.Context) *kernel.Task {
	t, _ := ctx.Task.(*kernel.Task)
	if t == nil || t.TIDIn(o.fs.pids) == 0 {
		return nil
	}
	return t
}

func linkSelf(o *object, ctx *vfs.Context) (string, error) {
	t := o.caller(ctx)
	if t == nil {
		return "", unix.ENOENT
	}
	return strconv.Itoa(int(t.ThreadGroup().ID(o.fs.pids))), nil
}

func linkThreadSelf(o *object, ctx *vfs.Context) (string, error) {
	t := o.caller(ctx)
	if t == nil {
		return "", unix.ENOENT
	}
	return strconv.Itoa(int(t.ThreadGroup().ID(o.fs.pids))) + "/task/" + strconv.Itoa(int(t.TIDIn(o.fs.pids))), nil
}

func showCPUInfo(o *object, w *text) {
	if o.fs.opts.CPUInfo != nil {
		w.add(o.fs.opts.CPUInfo())
	}
}

// showCgroups is /proc/cgroups, with the hierarchies that the reader has.
func showCgroups(o *object, w *text) {
	ids := map[string]int{}
	for _, h := range w.cgroup(o).Hierarchies() {
		for c := range strings.SplitSeq(h.Controllers, ",") {
			ids[c] = h.ID
		}
	}
	w.add("#subsys_name\thierarchy\tnum_cgroups\tenabled\n")
	for _, c := range []string{"cpuset", "cpu", "cpuacct", "blkio", "memory", "devices", "freezer", "pids"} {
		w.printf("%s\t%d\t1\t1\n", c, ids[c])
	}
}

func showDevices(_ *object, w *text) {
	w.add("Character devices:\n  1 mem\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n136 pts\n\nBlock devices:\n")
}

func showFilesystems(o *object, w *text) {
	for _, t := range o.fs.VFS().Types() {
		w.printf("nodev\t%s\n", t.Name())
	}
}

// userHZ is the unit of times in /proc (USER_HZ): 10 ms.
const userHZ = 1e9 / 100

// busy is the CPU time that all processes together have used, in ns.
func (fs *FileSystem) busy() (user, system int64) {
	for _, tg := range fs.pids.ThreadGroups() {
		u, s := tg.CPUTime()
		cu, cs := tg.ChildCPUTime()
		user, system = user+u+cu, system+s+cs
	}
	return user, system
}

func showStat(o *object, w *text) {
	k := o.fs.k
	user, system := o.fs.busy()
	n := int64(k.CPUs())
	idle := max(k.Uptime()*n-user-system, 0)
	line := func(name string, share int64) {
		w.printf("%s %d 0 %d %d 0 0 0 0 0 0\n", name, user/share/userHZ, system/share/userHZ, idle/share/userHZ)
	}
	line("cpu ", 1)
	for i := range n {
		line("cpu"+strconv.FormatInt(i, 10), n)
	}
	running := 0
	for _, tg := range o.fs.pids.ThreadGroups() {
		for _, t := range tg.Tasks() {
			if t.State() == 'R' {
				running++
			}
		}
	}
	boot := time.Now().UnixNano() - k.Uptime()
	w.printf("intr 0\nctxt 0\nbtime %d\nprocesses %d\nprocs_running %d\nprocs_blocked 0\nsoftirq 0 0 0 0 0 0 0 0 0 0 0\n",
		boot/1e9, k.Forks(), running)
}

func showUptime(o *object, w *text) {
	up := o.fs.k.Uptime()
	user, system := o.fs.busy()
	idle := max(up*int64(o.fs.k.CPUs())-user-system, 0)
	w.printf("%d.%02d %d.%02d\n", up/1e9, up/1e7%100, idle/1e9, idle/1e7%100)
}

func showLoadavg(o *object, w *text) {
	running, total := 0, 0
	for _, tg := range o.fs.pids.ThreadGroups() {
		for _, t := range tg.Tasks() {
			total++
			if t.State() == 'R' {
				running++
			}
		}
	}
	w.printf("%d.00 %d.00 %d.00 %d/%d %d\n", running, running, running, running, total, o.fs.pids.LastPID())
}

// used is the memory in use in bytes; 0 if the host does not say.
func (fs *FileSystem) used() uint64 {
	n, _ := fs.k.MemoryFile().Usage()
	return n
}

func showMeminfo(o *object, w *text) {
	g := w.cgroup(o)
	total := g.TotalMemory() >> 10
	used := min(g.MemoryInUse()>>10, total)
	free := total - used
	for _, l := range []struct {
		name string
		kib  uint64
	}{
		{"MemTotal", total}, {"MemFree", free}, {"MemAvailable", free}, {"Buffers", 0}, {"Cached", 0},
		{"SwapCached", 0}, {"Active", used}, {"Inactive", 0}, {"Active(anon)", used}, {"Inactive(anon)", 0},
		{"Active(file)", 0}, {"Inactive(file)", 0}, {"Unevictable", 0}, {"Mlocked", 0}, {"SwapTotal", 0},
		{"SwapFree", 0}, {"Dirty", 0}, {"Writeback", 0}, {"AnonPages", used}, {"Mapped", 0}, {"Shmem", 0},
		{"KReclaimable", 0}, {"Slab", 0}, {"SReclaimable", 0}, {"SUnreclaim", 0}, {"KernelStack", 0}, {"PageTables", 0},
		{"CommitLimit", total}, {"Committed_AS", used}, {"VmallocTotal", 34359738367}, {"VmallocUsed", 0},
	} {
		w.printf("%-16s%8d kB\n", l.name+":", l.kib)
	}
	w.printf("HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n")
}

func showVmstat(o *object, w *text) {
	k := o.fs.k
	free := (k.TotalMemory() - min(o.fs.used(), k.TotalMemory())) >> 12
	w.printf("nr_free_pages %d\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n", free)
}

// sysEntries are /proc/sys.
var sysEntries = []entry{
	{name: "fs", mode: 0o555, entries: []entry{
		value("aio-max-nr", "65536"),
		value("file-max", "9223372036854775807"),
		{name: "file-nr", mode: 0o444, text: func(_ *object, w *text) { w.add("0\t0\t9223372036854775807\n") }},
		{name: "inotify", mode: 0o555, entries: []entry{
			value("max_queued_events", "16384"), value("max_user_instances", "128"), value("max_user_watches", "65536"),
		}},
		{name: "mqueue", mode: 0o555, entries: mqueueEntries},
		value("nr_open", "1048576"),
		value("overflowgid", "65534"), value("overflowuid", "65534"),
		value("pipe-max-size", "1048576"),
		value("protected_fifos", "1"), value("protected_hardlinks", "1"), value("protected_regular", "2"), value("protected_symlinks", "1"),
		value("suid_dumpable", "0"),
	}},
	{name: "kernel", mode: 0o555, entries: slices.Concat(ipcEntries, []entry{
		{name: "arch", mode: 0o444, text: func(_ *object, w *text) { w.add(kernel.Machine + "\n") }},
		value("cap_last_cap", "40"),
		value("core_pattern", "core"),
		{name: "domainname", mode: 0o644, text: showDomainName, store: storeDomainName},
		value("dmesg_restrict", "1"),
		{name: "hostname", mode: 0o644, text: showHostName, store: storeHostName},
		value("kptr_restrict", "2"),
		value("ngroups_max", "65536"),
		{name: "osrelease", mode: 0o444, text: func(_ *object, w *text) { w.add(kernel.Release + "\n") }},
		{name: "ostype", mode: 0o444, text: func(_ *object, w *text) { w.add("Linux\n") }},
		value("overflowgid", "65534"), value("overflowuid", "65534"),
		value("perf_event_paranoid", "4"),
		{name: "pid_max", mode: 0o444, text: func(_ *object, w *text) { w.printf("%d\n", kernel.PIDMax) }},
		value("printk", "4\t4\t1\t7"),
		{name: "random", mode: 0o555, entries: []entry{
			{name: "boot_id", mode: 0o444, text: func(o *object, w *text) { w.add(o.fs.bootID + "\n") }},
			value("entropy_avail", "256"), value("poolsize", "256"),
			{name: "uuid", mode: 0o444, text: func(_ *object, w *text) { w.add(newUUID() + "\n") }},
		}},
		value("randomize_va_space", "2"),
		value("tainted", "0"),
		{name: "threads-max", mode: 0o444, text: func(o *object, w *text) { w.printf("%d\n", o.fs.k.MaxTasks()) }},
		{name: "version", mode: 0o444, text: func(_ *object, w *text) { w.add(kernel.Version + "\n") }},
		{name: "yama", mode: 0o555, entries: []entry{value("ptrace_scope", "1")}},
	})},
	{name: "vm", mode: 0o555, entries: []entry{
		value("max_map_count", "65530"), value("mmap_min_addr", "65536"), value("overcommit_memory", "0"),
		value("overcommit_ratio", "50"), value("swappiness", "60"),
	}},
}

// value is a setting that never changes.
func value(name, v string) entry {
	return entry{name: name, mode: 0o444, text: func(_ *object, w *text) { w.add(v + "\n") }}
}

// utsOf is the UTS namespace of who uses ctx.
func utsOf(o *object, ctx *vfs.Context) *kernel.UTSNamespace {
	if t, _ := ctx.Task.(*kernel.Task); t != nil && t.Namespaces() != nil {
		return t.Namespaces().UTS
	}
	return o.fs.k.RootNamespaces().UTS
}

func showHostName(o *object, w *text) {
	host, _ := utsOf(o, w.ctx).Names()
	w.add(host + "\n")
}

func showDomainName(o *object, w *text) {
	_, domain := utsOf(o, w.ctx).Names()
	w.add(domain + "\n")
}

func storeHostName(o *object, ctx *vfs.Context, data string) error {
	utsOf(o, ctx).SetHost(utsName(data))
	return nil
}

func storeDomainName(o *object, ctx *vfs.Context, data string) error {
	utsOf(o, ctx).SetDomain(utsName(data))
	return nil
}

// utsName is the name that a write stands for: its first line, as much as fits.
func utsName(data string) string {
	const most = 64 // __NEW_UTS_LEN
	name, _, _ := strings.Cut(data, "\n")
	name, _, _ = strings.Cut(name, "\x00")
	return name[:min(len(name), most)]
}

// newUUID is a random UUID (RFC 9562, version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// escape writes s as the fields of mount tables have it: octal escapes for blanks.
func escape(s string) string {
	return strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`).Replace(s)
}
