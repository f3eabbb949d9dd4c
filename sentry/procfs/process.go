package procfs

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/mm"
	"casemate/vfs"
)

// commonEntries are what a process's directory and a thread's have in common.
var commonEntries = []entry{
	{name: "auxv", mode: 0o400, text: showAuxv, checked: true},
	{name: "cgroup", mode: 0o444, text: showCgroup},
	{name: "cmdline", mode: 0o444, text: showCmdline},
	{name: "comm", mode: 0o644, text: func(o *object, w *text) { w.add(o.task.Comm() + "\n") }, store: storeComm},
	{name: "cwd", mode: 0o777, link: linkCwd, follow: followCwd, checked: true},
	{name: "environ", mode: 0o400, text: showEnviron, checked: true},
	{name: "exe", mode: 0o777, link: linkExe, follow: followExe, checked: true},
	{name: "fd", mode: 0o500, list: &dynamic{lookup: lookupFD, each: eachFD}, checked: true},
	{name: "fdinfo", mode: 0o555, list: &dynamic{lookup: lookupFDInfo, each: eachFD}, checked: true},
	{name: "gid_map", mode: 0o644, text: showGIDMap, store: storeGIDMap, once: true},
	{name: "io", mode: 0o400, text: showIO, checked: true},
	{name: "limits", mode: 0o444, text: showLimits},
	{name: "loginuid", mode: 0o644, text: func(_ *object, w *text) { w.add("4294967295") }},
	{name: "maps", mode: 0o444, text: showMaps, checked: true},
	{name: "mem", mode: 0o600, open: openMem, checked: true},
	{name: "mountinfo", mode: 0o444, text: showMountinfo},
	{name: "mounts", mode: 0o444, text: showMounts},
	{name: "net", mode: 0o555, list: &dynamic{lookup: lookupNet, each: eachNet}},
	{name: "ns", mode: 0o511, list: &dynamic{lookup: lookupNS, each: eachNS}, checked: true},
	{name: "oom_adj", mode: 0o644, text: func(o *object, w *text) { w.printf("%d\n", o.task.ThreadGroup().OOMScoreAdj()*17/1000) }},
	{name: "oom_score", mode: 0o444, text: func(_ *object, w *text) { w.add("0\n") }},
	{name: "oom_score_adj", mode: 0o644, text: func(o *object, w *text) { w.printf("%d\n", o.task.ThreadGroup().OOMScoreAdj()) }, store: storeOOMScoreAdj},
	{name: "personality", mode: 0o400, text: func(o *object, w *text) { w.printf("%08x\n", o.task.Personality()) }, checked: true},
	{name: "root", mode: 0o777, link: linkRoot, follow: followRoot, checked: true},
	{name: "sessionid", mode: 0o444, text: func(_ *object, w *text) { w.add("4294967295") }},
	{name: "setgroups", mode: 0o644, text: showSetgroups, store: storeSetgroups},
	{name: "smaps", mode: 0o444, text: showSmaps, checked: true},
	{name: "stat", mode: 0o444, text: showProcessStat},
	{name: "statm", mode: 0o444, text: showStatm},
	{name: "status", mode: 0o444, text: showStatus},
	{name: "uid_map", mode: 0o644, text: showUIDMap, store: storeUIDMap, once: true},
	{name: "wchan", mode: 0o444, text: func(_ *object, w *text) { w.add("0") }},
}

// showCgroup is /proc/PID/cgroup (cgroups(7)).
func showCgroup(o *object, w *text) {
	for _, h := range o.task.ThreadGroup().Cgroup().Hierarchies() {
		w.printf("%d:%s:%s\n", h.ID, h.Controllers, h.Path)
	}
}

var processEntries, threadEntries []entry

func init() {
	processEntries = append(commonEntries[:len(commonEntries):len(commonEntries)],
		entry{name: "mountstats", mode: 0o400, text: showMounts, checked: true},
		entry{name: "smaps_rollup", mode: 0o444, text: showSmapsRollup, checked: true},
		entry{name: "task", mode: 0o555, list: &dynamic{lookup: lookupThread, each: eachThread}},
		entry{name: "timerslack_ns", mode: 0o666, text: func(o *object, w *text) { w.printf("%d\n", o.task.TimerSlack()) }},
	)
	threadEntries = append(commonEntries[:len(commonEntries):len(commonEntries)],
		entry{name: "children", mode: 0o444, text: showChildren},
	)
}

// lookupThread and eachThread are /proc/PID/task.
func lookupThread(o *object, _ *vfs.Context, name string) (*vfs.Inode, error) {
	id, ok := parseID(name)
	if !ok {
		return nil, unix.ENOENT
	}
	t := o.fs.pids.Task(id)
	if t == nil || t.ThreadGroup() != o.task.ThreadGroup() {
		return nil, unix.ENOENT
	}
	d := &dir{}
	d.initTask(o.fs, d, t, false)
	return &d.Inode, nil
}

func eachThread(o *object, _ *vfs.Context, pos int64, emit func(string, uint64, uint8, int64) bool) {
	tasks := o.task.ThreadGroup().Tasks()
	if len(tasks) == 0 {
		tasks = []*kernel.Task{o.task} // a zombie
	}
	for i := pos; i < int64(len(tasks)); i++ {
		t := tasks[i]
		if id := t.TIDIn(o.fs.pids); id != 0 && !emit(strconv.Itoa(int(id)), taskIno(t, o.fs.pids, false), unix.DT_DIR, i+1) {
			return
		}
	}
}

// memory calls f with the memory of o's task, if it still has any.
func (o *object) memory(f func(m *mm.MemoryManager)) {
	m := o.task.MM()
	if m == nil || !m.TryIncUsers() {
		return
	}
	defer m.DecUsers()
	f(m)
}

// maxArea is the most that is shown of arguments or environment.
const maxArea = 2 << 20

// area adds the task's memory from start to end.
func (o *object) area(w *text, start, end uint64) {
	o.memory(func(m *mm.MemoryManager) {
		buf := make([]byte, min(end-start, maxArea))
		n, _ := m.ForContext(nil).CopyIn(buf, start)
		w.buf = append(w.buf, buf[:n]...)
	})
}

func showCmdline(o *object, w *text) {
	if im := o.task.Image(); im != nil {
		o.area(w, im.ArgStart, im.ArgEnd)
	}
}

func showEnviron(o *object, w *text) {
	if im := o.task.Image(); im != nil {
		o.area(w, im.EnvStart, im.EnvEnd)
	}
}

func showAuxv(o *object, w *text) {
	if im := o.task.Image(); im != nil {
		w.buf = append(w.buf, im.Auxv...)
	}
}

// storeComm serves a write to comm, which only the threads of the process itself
// may make.
func storeComm(o *object, ctx *vfs.Context, data string) error {
	t := o.caller(ctx)
	if t == nil || t.ThreadGroup() != o.task.ThreadGroup() {
		return unix.EINVAL
	}
	name, _, _ := strings.Cut(data, "\n")
	o.task.SetComm(name)
	return nil
}

func showChildren(o *object, w *text) {
	for _, tg := range o.task.ThreadGroup().Children() {
		w.printf("%d ", tg.ID(o.fs.pids))
	}
}

func storeOOMScoreAdj(o *object, ctx *vfs.Context, data string) error {
	v, err := strconv.Atoi(strings.TrimSpace(data))
	if err != nil || v < -1000 || v > 1000 {
		return unix.EINVAL
	}
	tg := o.task.ThreadGroup()
	if int32(v) < tg.OOMScoreAdj() && !ctx.Cred.HasCap(unix.CAP_SYS_RESOURCE) {
		return unix.EACCES
	}
	tg.SetOOMScoreAdj(int32(v))
	return nil
}

func showIO(o *object, w *text) {
	w.add("rchar: 0\nwchar: 0\nsyscr: 0\nsyscw: 0\nread_bytes: 0\nwrite_bytes: 0\ncancelled_write_bytes: 0\n")
}

// limitNames are the lines of /proc/PID/limits by number of the limit.
var limitNames = [...]struct{ name, unit string }{
	{"Max cpu time", "seconds"}, {"Max file size", "bytes"}, {"Max data size", "bytes"}, {"Max stack size", "bytes"},
	{"Max core file size", "bytes"}, {"Max resident set", "bytes"}, {"Max processes", "processes"}, {"Max open files", "files"},
	{"Max locked memory", "bytes"}, {"Max address space", "bytes"}, {"Max file locks", "locks"}, {"Max pending signals", "signals"},
	{"Max msgqueue size", "bytes"}, {"Max nice priority", ""}, {"Max realtime priority", ""}, {"Max realtime timeout", "us"},
}

func showLimits(o *object, w *text) {
	show := func(v uint64) string {
		if v == unix.RLIM_INFINITY {
			return "unlimited"
		}
		return strconv.FormatUint(v, 10)
	}
	w.printf("%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units")
	for i, n := range limitNames {
		l := o.task.ThreadGroup().Limits().Get(i)
		w.printf("%-25s %-20s %-20s %-10s\n", n.name, show(l.Cur), show(l.Max), n.unit)
	}
}

func linkExe(o *object, ctx *vfs.Context) (string, error) { return o.linkTo(ctx, followExe) }
func linkCwd(o *object, ctx *vfs.Context) (string, error) { return o.linkTo(ctx, followCwd) }

func linkRoot(o *object, ctx *vfs.Context) (string, error) { return o.linkTo(ctx, followRoot) }

// linkTo is the name of where a magic link leads.
func (o *object) linkTo(ctx *vfs.Context, follow func(*object, *vfs.Context) (vfs.Path, error)) (string, error) {
	p, err := follow(o, ctx)
	if err != nil {
		return "", err
	}
	defer p.DecRef()
	root := ctx.FS.Root()
	defer root.DecRef()
	name, _ := vfs.PathName(p, root)
	return name, nil
}

func followExe(o *object, _ *vfs.Context) (vfs.Path, error) {
	f := o.task.Executable()
	if f == nil {
		return vfs.Path{}, unix.ENOENT
	}
	defer f.DecRef()
	p := f.Path()
	p.IncRef()
	return p, nil
}

func followCwd(o *object, _ *vfs.Context) (vfs.Path, error) {
	fs := o.task.FSState()
	if fs == nil {
		return vfs.Path{}, unix.ENOENT
	}
	return fs.Cwd(), nil
}

func followRoot(o *object, _ *vfs.Context) (vfs.Path, error) {
	fs := o.task.FSState()
	if fs == nil {
		return vfs.Path{}, unix.ENOENT
	}
	return fs.Root(), nil
}
