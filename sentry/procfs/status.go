package procfs

import (
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/loader"
	"casemate/sentry/mm"
	"casemate/vfs/cred"
)

// stateNames are the process states by the letter in /proc/PID/stat.
var stateNames = map[byte]string{
	'R': "running", 'S': "sleeping", 'D': "disk sleep", 'T': "stopped", 't': "tracing stop", 'Z': "zombie", 'X': "dead",
}

// usage is the task's memory in use, zero for what has none.
func (o *object) usage() (u mm.Usage) {
	o.memory(func(m *mm.MemoryManager) { u = m.Usage() })
	return u
}

func (o *object) userNS() *cred.UserNamespace { return o.fs.UserNS }

func showStatus(o *object, w *text) {
	t, tg, pids := o.task, o.task.ThreadGroup(), o.fs.pids
	c, ns := t.Credentials(), o.userNS()
	state := t.State()
	w.printf("Name:\t%s\n", strings.NewReplacer("\n", `\n`, `\`, `\\`).Replace(t.Comm()))
	if fs := t.FSState(); fs != nil {
		w.printf("Umask:\t%04o\n", fs.Umask())
	}
	w.printf("State:\t%c (%s)\n", state, stateNames[state])
	w.printf("Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t0\n", tg.ID(pids), t.TIDIn(pids), tg.ParentID(pids))
	w.printf("Uid:\t%d\t%d\t%d\t%d\n", ns.ShowUID(c.RUID), ns.ShowUID(c.EUID), ns.ShowUID(c.SUID), ns.ShowUID(c.FSUID))
	w.printf("Gid:\t%d\t%d\t%d\t%d\n", ns.ShowGID(c.RGID), ns.ShowGID(c.EGID), ns.ShowGID(c.SGID), ns.ShowGID(c.FSGID))
	size := 64
	if fds := t.FDTable(); fds != nil {
		size = fds.Capacity()
	}
	w.printf("FDSize:\t%d\nGroups:\t", size)
	for _, g := range c.Groups {
		w.printf("%d ", ns.ShowGID(g))
	}
	w.printf("\nNStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nKthread:\t0\n", tg.ID(pids), t.TIDIn(pids), groupID(tg, pids), sessionID(tg, pids))
	if t.MM() != nil {
		u := o.usage()
		w.printf("VmPeak:\t%8d kB\nVmSize:\t%8d kB\nVmLck:\t%8d kB\nVmPin:\t       0 kB\nVmHWM:\t%8d kB\nVmRSS:\t%8d kB\n",
			u.Total>>10, u.Total>>10, u.Locked>>10, (u.Anon+u.File)>>10, (u.Anon+u.File)>>10)
		w.printf("RssAnon:\t%8d kB\nRssFile:\t%8d kB\nRssShmem:\t       0 kB\nVmData:\t%8d kB\nVmStk:\t%8d kB\nVmExe:\t%8d kB\nVmLib:\t       0 kB\nVmPTE:\t       0 kB\nVmSwap:\t       0 kB\nHugetlbPages:\t       0 kB\n",
			u.Anon>>10, u.File>>10, u.Data>>10, u.Stack>>10, u.Exec>>10)
		w.add("CoreDumping:\t0\nTHP_enabled:\t1\n")
	}
	s := tg.SignalState()
	pending, blocked := t.SignalSets()
	sigpending := tg.Limits().Get(unix.RLIMIT_SIGPENDING)
	w.printf("Threads:\t%d\nSigQ:\t%d/%d\n", max(tg.NumTasks(), 1), s.Queued, sigpending.Cur)
	w.printf("SigPnd:\t%016x\nShdPnd:\t%016x\nSigBlk:\t%016x\nSigIgn:\t%016x\nSigCgt:\t%016x\n",
		uint64(pending), uint64(s.Pending), uint64(blocked), uint64(s.Ignored), uint64(s.Caught))
	w.printf("CapInh:\t%016x\nCapPrm:\t%016x\nCapEff:\t%016x\nCapBnd:\t%016x\nCapAmb:\t%016x\n",
		uint64(c.Inheritable), uint64(c.Permitted), uint64(c.Effective), uint64(c.Bounding), uint64(c.Ambient))
	nnp := 0
	if t.NoNewPrivs() {
		nnp = 1
	}
	mode, filters := t.SeccompMode(), t.SeccompFilters()
	w.printf("NoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t%d\nSpeculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled\n", nnp, mode, filters)
	n := o.fs.k.CPUs()
	w.printf("Cpus_allowed:\t%x\nCpus_allowed_list:\t%s\nMems_allowed:\t1\nMems_allowed_list:\t0\n", uint64(1)<<min(n, 63)-1, cpuList(n))
	voluntary, involuntary := t.ContextSwitches()
	w.printf("voluntary_ctxt_switches:\t%d\nnonvoluntary_ctxt_switches:\t%d\n", voluntary, involuntary)
}

// cpuList is the list of the first n CPUs as Linux writes it.
func cpuList(n int) string {
	if n <= 1 {
		return "0"
	}
	w := text{}
	w.printf("0-%d", n-1)
	return string(w.buf)
}

func groupID(tg *kernel.ThreadGroup, pids *kernel.PIDNamespace) int32 {
	if pg := tg.ProcessGroup(); pg != nil {
		return pg.ID(pids)
	}
	return 0
}

func sessionID(tg *kernel.ThreadGroup, pids *kernel.PIDNamespace) int32 {
	if s := tg.Session(); s != nil {
		return s.ID(pids)
	}
	return 0
}

// showProcessStat is /proc/PID/stat, 52 fields (proc_pid_stat(5)).
func showProcessStat(o *object, w *text) {
	t, tg, pids := o.task, o.task.ThreadGroup(), o.fs.pids
	user, system := t.CPUTime()
	if o.group {
		user, system = tg.CPUTime()
	}
	childUser, childSystem := tg.ChildCPUTime()
	ttyNr, foreground := tg.TerminalState(pids)
	minor := t.MinorFaults()
	u := o.usage()
	s := tg.SignalState()
	_, blocked := t.SignalSets()
	rss := tg.Limits().Get(unix.RLIMIT_RSS)
	w.printf("%d (%s) %c %d %d %d %d %d 0", t.TIDIn(pids), t.Comm(), t.State(), tg.ParentID(pids),
		groupID(tg, pids), sessionID(tg, pids), ttyNr, foreground)
	w.printf(" %d 0 0 0 %d %d %d %d", minor, user/userHZ, system/userHZ, childUser/userHZ, childSystem/userHZ)
	policy := t.SchedPolicy()
	priority := 20 + policy.Nice
	if policy.Priority > 0 {
		priority = -1 - policy.Priority
	}
	w.printf(" %d %d %d 0 %d %d %d %d", priority, policy.Nice, max(tg.NumTasks(), 1), tg.StartTime()/userHZ, u.Total, (u.Anon+u.File)>>12, rss.Cur)
	im := t.Image()
	if im == nil {
		im = new(loader.Image)
	}
	w.printf(" 1 1 %d 0 0 %d %d %d %d 0 0 0 %d 0 %d %d 0 0 0", im.SP, uint64(s.Pending)&(1<<31-1),
		uint64(blocked)&(1<<31-1), uint64(s.Ignored)&(1<<31-1), uint64(s.Caught)&(1<<31-1), tg.ExitSignal(), policy.Priority, policy.Policy)
	w.printf(" 0 0 %d %d %d %d %d 0\n", im.BrkStart, im.ArgStart, im.ArgEnd, im.EnvStart, im.EnvEnd)
}

func showStatm(o *object, w *text) {
	u := o.usage()
	w.printf("%d %d %d %d 0 %d 0\n", u.Total>>12, (u.Anon+u.File)>>12, u.File>>12, u.Exec>>12, (u.Data+u.Stack)>>12)
}
