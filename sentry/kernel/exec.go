package kernel

import (
	"cmp"
	"crypto/rand"
	"encoding/binary"
	"path"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/loader"
	"casemate/sentry/mm"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// ExecArgs are the arguments of execveat(2).
type ExecArgs struct {
	At       vfs.Start // where a relative Path begins
	Path     string
	Walk     uint32 // vfs.WalkFollow, vfs.WalkEmpty
	Filename string // what the program is told it was called by (AT_EXECFN), and a script's interpreter gets
	// Hidden says that Filename names a descriptor with close-on-exec, which a
	// script's interpreter could not open: ENOENT for scripts.
	Hidden bool
	Argv   []string
	Envp   []string
}

// randomise gives the random numbers of an address space; nil if they are
// unwanted (personality(2), ADDR_NO_RANDOMIZE).
func (t *Task) randomise() func() uint64 {
	const addrNoRandomize = 0x0040000
	if t.personality&addrNoRandomize != 0 {
		return nil
	}
	return func() uint64 {
		var b [8]byte
		rand.Read(b[:])
		return binary.LittleEndian.Uint64(b[:])
	}
}

// A loaded program is ready to be run by a task.
type loaded struct {
	mm    *mm.MemoryManager
	image *loader.Image
}

// open opens the program that a names and follows scripts.
func (t *Task) openProgram(a *ExecArgs) (*loader.Program, error) {
	f, err := openExec(t.fs, a.At, a.Path, a.Walk)
	if err != nil {
		return nil, err
	}
	if a.Hidden {
		var head [2]byte
		if n, _ := f.ReadAt(head[:], 0); n == 2 && string(head[:]) == "#!" {
			f.DecRef()
			return nil, unix.ENOENT
		}
	}
	open := func(name string) (loader.File, error) {
		f, err := openExec(t.fs, vfs.Start{}, name, vfs.WalkFollow)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	return loader.Open(f, a.Filename, a.Argv, a.Envp, t.tg.limits.Get(unix.RLIMIT_STACK).Cur, open)
}

// load makes a new address space and loads p into it, for credentials c.
func (t *Task) load(p *loader.Program, c *cred.Credentials, secure bool) (*loaded, error) {
	random := t.randomise()
	lo, hi := t.k.platform.UserRange()
	limits := t.MMLimits()
	layout := mm.NewLayout(lo, hi, limits.Stack, random)
	m, err := mm.New(t.k.platform, t.k.memory, layout)
	if err != nil {
		return nil, err
	}
	m.SetGrowthLimits(limits.Stack, limits.AS)
	o := loader.Options{
		Min: layout.Min, Max: layout.Max, StackTop: layout.StackTop, PIEBase: layout.PIEBase, BrkOffset: layout.BrkOffset,
		StackLimit: limits.Stack,
		UID:        c.UserNS.ShowUID(c.RUID), EUID: c.UserNS.ShowUID(c.EUID),
		GID: c.UserNS.ShowGID(c.RGID), EGID: c.UserNS.ShowGID(c.EGID),
		Secure: secure,
	}
	rand.Read(o.Random[:])
	if random != nil {
		o.StackRandom = random()
	}
	image, err := p.Load(&newMemory{m.ForContext(nil), t.k, m, t.fs, limits}, o)
	if err != nil {
		m.DecUsers()
		return nil, err
	}
	m.SetBrkStart(image.BrkStart)
	m.SetStackStart(image.SP)
	return &loaded{m, image}, nil
}

// Exec replaces the caller's program: execve(2). State.Full holds. When it returns
// nil the registers are those of the new program. When it fails after the old
// program is gone the task is killed.
func (t *Task) Exec(a *ExecArgs) error {
	p, err := t.openProgram(a)
	if err != nil {
		return err
	}
	defer p.Release()
	c, secure, err := t.execCredentials(p.File.(*execFile).file)
	if err != nil {
		return err
	}
	if err := t.deThread(); err != nil {
		return err
	}
	l, err := t.load(p, c, secure)
	if err != nil {
		t.k.log("%s (task %d): loading %s failed: %v", t.Comm(), t.TID(), a.Filename, err)
		t.ExitGroup(WaitSignaled(int32(unix.SIGSEGV)))
		return err
	}
	t.install(l, p)
	t.afterExec(c, secure)
	t.SetComm(path.Base(a.Filename))
	return nil
}

// install makes the task run a program that has been loaded.
func (t *Task) install(l *loaded, p *loader.Program) {
	old := t.mm.Load()
	if old != nil {
		t.leaveMemory()
		if err := t.ctx.SetAddressSpace(l.mm.AddressSpace()); err != nil {
			t.ExitGroup(WaitSignaled(int32(unix.SIGKILL)))
		}
	}
	t.mm.Store(l.mm)
	t.fs.Mem = l.mm.ForContext(t.ctx)
	t.image.Store(l.image)
	exe := p.File.(*execFile)
	exe.IncRef()
	t.k.mu.Lock()
	exe, t.exe = t.exe, exe
	t.k.mu.Unlock()
	exe.DecRef()
	if old != nil {
		old.DecUsers()
		t.vforkDone()
	}
	t.setRegisters(l.image)
}

// afterExec resets what execve(2) resets, and sets the credentials.
func (t *Task) afterExec(c *cred.Credentials, secure bool) {
	tg := t.tg
	tg.sigMu.Lock()
	h := tg.handlers
	h.mu.Lock()
	shared := h.refs > 1
	if shared {
		h.refs--
	}
	h.mu.Unlock()
	if shared {
		h = h.fork()
		tg.handlers = h
	}
	h.reset(false)
	tg.timers.deletePosix()
	tg.sigMu.Unlock()

	if old := t.fds.Load(); old.Shared() {
		t.fds.Store(old.Fork(vfs.MaxFDs))
		old.DecRef(t.fs, tg)
	}
	t.fds.Load().CloseOnExec(t.fs, tg)

	t.altStack = SignalStack{}
	t.robustList, t.clearTID = 0, 0
	t.restart = 0
	const perClearOnSetID = 0x0040000 | 0x0100000 | 0x0200000 | 0x0400000
	if secure {
		t.personality &^= perClearOnSetID
		t.deathSignal.Store(0)
	}
	t.SetCredentials(c)
	t.k.mu.Lock()
	tg.execed = true
	tg.exitSignal = int32(unix.SIGCHLD)
	tg.dumpable = DumpableUser
	if secure {
		tg.dumpable = DumpableNone
	}
	t.k.mu.Unlock()
}

// deThread ends all other tasks of the process; the caller becomes its leader.
// EAGAIN or EINTR if the process is going to end anyway.
func (t *Task) deThread() error {
	tg, k := t.tg, t.k
	k.mu.Lock()
	tg.sigMu.Lock()
	if tg.groupExit || tg.execTask != nil {
		tg.sigMu.Unlock()
		k.mu.Unlock()
		return unix.EAGAIN
	}
	tg.execTask = t
	tg.exitWaiter = t
	for _, o := range tg.tasks {
		if o != t {
			o.setWork(workExit)
		}
	}
	tg.sigMu.Unlock()
	k.mu.Unlock()

	var err error
	for tg.NumTasks() > 1 && err == nil {
		err = t.BlockKillable(clock.Never)
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	tg.execTask = nil
	tg.exitWaiter = nil
	if err != nil {
		return err
	}
	if l := tg.leader; l != t {
		own := t.pid
		t.pid, l.pid = l.pid, own
		t.pid.task, own.task = t, nil
		own.release()
		l.uncount()
		tg.leader = t
	}
	return nil
}

// A ProcessOptions says how a process is started from outside.
type ProcessOptions struct {
	// Argv is the command line. If Argv[0] has no slash it is looked for in the
	// directories of PATH in Envp.
	Argv, Envp []string
	Cred       *cred.Credentials
	Limits     *Limits
	// MountNS is the mount namespace; Root is the directory in it that is the
	// process's root, "" for the namespace's own; Cwd the working directory, below
	// Root.
	MountNS *vfs.MountNamespace
	Root    string
	Cwd     string
	Umask   uint32
	// FDs are the open files; the process takes over the reference.
	FDs *vfs.FDTable
	// Namespaces are the others; PIDForChildren is where the process gets its
	// pid. It becomes process 1 there if there is none.
	Namespaces *Namespaces
	// Cgroup is the control group, the root one if it is nil.
	Cgroup      *Cgroup
	NoNewPrivs  bool
	Seccomp     []*SeccompFilter // the first is installed first
	OOMScoreAdj int32
	Nice        int32 // -20 to 19
	Personality uint32
}

// CreateProcess makes a process with one task and loads its program: a container's
// first process, or another one in it. It leads a session. It runs once Start is
// called. Errors are unix.Errno: ENOENT if the program or the working directory is
// not there, EACCES, ENOEXEC, ...
func (k *Kernel) CreateProcess(o *ProcessOptions) (*ThreadGroup, error) {
	if len(o.Argv) == 0 {
		return nil, unix.EINVAL
	}
	tg := k.newThreadGroup(&SignalHandlers{refs: 1}, o.Limits, cmp.Or(o.Cgroup, k.rootCgroup))
	t := k.newTask(tg)
	fail := func(err error) (*ThreadGroup, error) {
		if t.fs != nil {
			o.FDs.DecRef(t.fs, tg)
			t.fs.FS.DecRef()
			o.MountNS.DecRef()
		}
		t.setNamespaces(nil)
		if m := t.mm.Load(); m != nil {
			m.DecUsers()
		}
		t.exe.DecRef()
		t.ctx.Release()
		return nil, err
	}
	t.cred.Store(o.Cred)
	o.Namespaces.Net.IncRef()
	t.setNamespaces(o.Namespaces)
	t.personality = o.Personality
	t.sched.nice = o.Nice
	t.noNewPrivs.Store(o.NoNewPrivs)
	tg.oomScoreAdj.Store(o.OOMScoreAdj)
	t.fs = vfs.NewContext(o.Cred, o.MountNS)
	o.MountNS.IncRef()
	t.setMountNamespace(o.MountNS)
	t.fs.Task = t
	t.fds.Store(o.FDs)
	t.fs.FS.SetUmask(o.Umask)
	t.fs.FileSizeLimit = o.Limits.Get(unix.RLIMIT_FSIZE).Cur
	for _, d := range []struct {
		path string
		set  func(vfs.Path)
	}{{o.Root, t.fs.FS.SetRoot}, {o.Cwd, t.fs.FS.SetCwd}} {
		if d.path == "" {
			continue
		}
		p, err := t.fs.Walk(vfs.Start{}, d.path, vfs.WalkFollow|vfs.WalkDirectory)
		if err != nil {
			return fail(err)
		}
		d.set(p)
		p.DecRef()
	}
	a := &ExecArgs{Walk: vfs.WalkFollow, Argv: o.Argv, Envp: o.Envp}
	p, err := t.findProgram(a)
	if err != nil {
		return fail(err)
	}
	defer p.Release()
	c, secure, err := t.execCredentials(p.File.(*execFile).file)
	if err != nil {
		return fail(err)
	}
	l, err := t.load(p, c, secure)
	if err != nil {
		return fail(err)
	}
	t.install(l, p)
	t.cred.Store(c)
	t.fs.Cred = c
	t.SetComm(path.Base(a.Filename))
	tg.dumpable = DumpableUser
	if len(o.Seccomp) > 0 {
		var s *seccompState
		for _, f := range o.Seccomp {
			s = s.with(f)
		}
		t.seccomp.Store(s)
	}

	k.mu.Lock()
	ns := o.Namespaces.PIDForChildren
	pid, err := k.allocPID(ns, nil)
	if err == nil {
		tg.addTask(t, pid)
		tg.exitSignal = int32(unix.SIGCHLD)
		if ns.init == nil {
			ns.init = tg
			tg.unkillable = true
		}
		tg.newSession()
	}
	k.mu.Unlock()
	if err != nil {
		return fail(err)
	}
	return tg, nil
}

// findProgram opens the program of a.Argv[0], as execvp(3) finds it.
func (t *Task) findProgram(a *ExecArgs) (*loader.Program, error) {
	name := a.Argv[0]
	if name == "" {
		return nil, unix.ENOENT
	}
	dirs := []string{""}
	if path.Base(name) == name {
		dirs = searchPath(a.Envp)
	}
	found := error(unix.ENOENT)
	for _, d := range dirs {
		full := name
		if d != "" {
			full = d + "/" + name
		}
		a.Path, a.Filename = full, full
		p, err := t.openProgram(a)
		switch err {
		case nil:
			return p, nil
		case unix.ENOENT, unix.ENOTDIR:
		case unix.EACCES:
			found = err
		default:
			return nil, err
		}
	}
	return nil, found
}

// searchPath returns the directories of PATH in env, and the usual ones if there is
// none.
func searchPath(env []string) []string {
	list := "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	for _, e := range env {
		if len(e) >= 5 && e[:5] == "PATH=" {
			list = e[5:]
		}
	}
	var dirs []string
	for start, i := 0, 0; i <= len(list); i++ {
		if i == len(list) || list[i] == ':' {
			d := list[start:i]
			if d == "" {
				d = "."
			}
			dirs = append(dirs, d)
			start = i + 1
		}
	}
	return dirs
}

// Start lets the process, which CreateProcess has made, run. ENOMEM or EAGAIN if
// the host refuses; the process is gone then.
func (tg *ThreadGroup) Start() error {
	t := tg.Leader()
	if err := t.start(); err != nil {
		t.abandon()
		return err
	}
	return nil
}

// Abandon does away with a process that CreateProcess has made and that is not to
// be started.
func (tg *ThreadGroup) Abandon() { tg.Leader().abandon() }
