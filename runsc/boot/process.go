package boot

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/bundle"
	"casemate/runsc/control"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// A process is one that runsc has started: a container's first, or one of runsc exec.
type process struct {
	tg      *kernel.ThreadGroup // nil if failed is set
	failed  *execError          // what becomes of it when it is started
	fds     *vfs.FDTable        // with failed
	ctx     *vfs.Context        // with failed
	console *console            // nil if it has no terminal
	done    chan struct{}
	exit    control.Exit // valid once done is closed

	mu      sync.Mutex
	told    bool
	waiters []*control.Conn // that are told of the end
}

// newProcess makes a process that start runs. It takes over files.
func (s *container) newProcess(p *specs.Process, nice int, stdio control.Stdio, files []int, first bool) (*process, error) {
	c, err := s.credentials(p)
	if err == nil && first {
		err = s.makeCwd(p.Cwd)
	}
	if err != nil {
		closeAll(files)
		return nil, initError(err)
	}
	result := &process{done: make(chan struct{})}
	fds, err := s.descriptors(result, c, stdio, files, first)
	if err != nil {
		return nil, err
	}
	limits := kernel.DefaultLimits()
	for _, l := range p.Rlimits {
		limits.Set(bundle.Rlimits[l.Type], unix.Rlimit{Cur: l.Soft, Max: l.Hard})
	}
	namespaces := s.namespaces
	o := &kernel.ProcessOptions{
		Argv: p.Args, Envp: p.Env, Cred: c, Limits: limits, MountNS: s.mounts, Cwd: p.Cwd, Umask: 0o022,
		FDs: fds, Namespaces: &namespaces, NoNewPrivs: p.NoNewPrivileges, Seccomp: s.filters, Cgroup: s.cgroup, Nice: int32(nice),
	}
	if p.User.Umask != nil {
		o.Umask = *p.User.Umask & 0o777
	}
	if p.OOMScoreAdj != nil {
		o.OOMScoreAdj = int32(*p.OOMScoreAdj)
	}
	fds.IncRef()
	tg, err := s.kernel.CreateProcess(o)
	if err != nil {
		err = s.describe(p, c, err)
		if errors.As(err, &result.failed) {
			result.fds, result.ctx = fds, s.ctx
			return result, nil
		}
		fds.DecRef(s.ctx, nil)
		result.console.close()
		return nil, err
	}
	fds.DecRef(s.ctx, nil)
	result.tg = tg
	if t := result.console; t != nil {
		if err := t.Job.Acquire(tg.Leader(), t.Terminal, false); err != nil {
			tg.Abandon()
			t.close()
			return nil, fmt.Errorf("setting the controlling terminal: %w", err)
		}
	}
	return result, nil
}

// start runs the process.
func (p *process) start() error {
	if p.failed != nil {
		p.fail()
		return nil
	}
	if err := p.tg.Start(); err != nil {
		p.console.close()
		return fmt.Errorf("starting the process: %w", err)
	}
	go func() {
		<-p.tg.Exited()
		p.console.close()
		status := p.tg.ExitStatus()
		p.exit = control.Exit{Code: int(status.ExitCode()), Signal: int(status.Signal())}
		close(p.done)
	}()
	return nil
}

// fail ends a process whose program cannot be executed.
func (p *process) fail() {
	if f := p.fds.Get(2); f != nil {
		writeAll(p.ctx, f, p.failed.Error()+"\n") // nobody may listen
		f.DecRef()
	}
	p.fds.DecRef(p.ctx, nil)
	p.console.close()
	p.exit = control.Exit{Code: 1}
	close(p.done)
}

// abandon does away with a process that has not been started; it counts as killed.
func (p *process) abandon() {
	if p.failed != nil {
		p.fds.DecRef(p.ctx, nil)
	} else {
		p.tg.Abandon()
	}
	p.console.close()
	p.exit = control.Exit{Signal: int(unix.SIGKILL)}
	close(p.done)
}

// wait has conn told when the process ends, after first, a reply that may be nil. Until both are
// done nobody is told of the end, and so the sandbox does not end with its first process.
func (p *process) wait(conn *control.Conn, first *control.Reply) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if first != nil && conn.Send(first) != nil {
		return // who asked has gone, which converse finds out
	}
	if p.told {
		conn.Send(&control.Reply{Exited: &p.exit})
		return
	}
	p.waiters = append(p.waiters, conn)
}

// forget undoes wait.
func (p *process) forget(conn *control.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiters = slices.DeleteFunc(p.waiters, func(c *control.Conn) bool { return c == conn })
}

// tell tells all who wait that the process, which is done, has ended.
func (p *process) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = true
	for _, conn := range p.waiters {
		conn.Send(&control.Reply{Exited: &p.exit})
	}
	p.waiters = nil
}

// signal sends the process a signal.
func (p *process) signal(sig int) error {
	if p.failed != nil {
		return unix.ESRCH
	}
	return p.tg.SignalGroup(&kernel.SigInfo{Signo: int32(sig), Code: kernel.SIUser})
}

// credentials are those that the spec gives the process.
func (s *container) credentials(p *specs.Process) (*cred.Credentials, error) {
	c, err := user(s.userNS, p.User.UID, p.User.GID, p.User.AdditionalGids)
	if err != nil {
		return nil, err
	}
	c.Bounding = 0
	if p.Capabilities == nil {
		return c, nil
	}
	for _, set := range []struct {
		to    *cred.CapSet
		names []string
	}{
		{&c.Bounding, p.Capabilities.Bounding}, {&c.Effective, p.Capabilities.Effective},
		{&c.Inheritable, p.Capabilities.Inheritable}, {&c.Permitted, p.Capabilities.Permitted},
		{&c.Ambient, p.Capabilities.Ambient},
	} {
		mask, err := bundle.CapabilitySet(set.names)
		if err != nil {
			return nil, fmt.Errorf("process.capabilities: %w", err)
		}
		*set.to = cred.CapSet(mask)
		if !s.Config.NetRaw {
			*set.to &^= 1 << unix.CAP_NET_RAW
		}
	}
	return c, nil
}

// descriptors are those that a process starts with: the terminal, or the host's
// descriptors, and then the further ones. It takes over files, and makes p's console.
func (s *container) descriptors(p *process, c *cred.Credentials, stdio control.Stdio, files []int, first bool) (table *vfs.FDTable, err error) {
	fds := vfs.NewFDTable()
	// They belong to the container's user, who may open /dev/stdout again.
	owner := vfs.NewContext(c, s.mounts)
	defer func() {
		closeAll(files)
		if err != nil {
			fds.DecRef(owner, nil)
			p.console.close()
		}
	}()
	next := int32(0)
	add := func(f *vfs.File) error {
		if _, err := fds.Add(f, next, false, uint64(next)+1); err != nil {
			f.DecRef()
			return fmt.Errorf("descriptor %d: %w", next, err)
		}
		next++
		return nil
	}
	if stdio.Terminal {
		fd := files[0]
		closeAll(files[1:3])
		files = files[3:]
		f, err := s.openTerminal(p, c, fd, stdio.Size, first)
		if err != nil {
			return nil, err
		}
		defer f.DecRef()
		for range 3 {
			f.IncRef()
			if err := add(f); err != nil {
				return nil, err
			}
		}
	}
	for len(files) > 0 {
		f, err := s.hostFDs.Import(owner, files[0])
		if err != nil {
			return nil, fmt.Errorf("descriptor %d: %w", next, err)
		}
		files = files[1:]
		if err := add(f); err != nil {
			return nil, err
		}
	}
	return fds, nil
}

// info describes the process tg for a list of processes.
func (s *container) info(tg *kernel.ThreadGroup) control.Process {
	ns := s.namespaces.PIDForChildren
	user, system := tg.CPUTime()
	leader := tg.Leader()
	return control.Process{
		PID: int(tg.ID(ns)), PPID: int(tg.ParentID(ns)), UID: int(leader.Credentials().RUID), CPU: user + system,
		Threads: tg.NumTasks(), Command: path.Base(leader.Comm()),
	}
}

// writeAll writes text to f.
func writeAll(ctx *vfs.Context, f *vfs.File, text string) error {
	seq := usermem.Kernel([]byte(text))
	for seq.Len() > 0 {
		if _, err := f.Write(ctx, &seq, 0); err != nil {
			return err
		}
	}
	return nil
}
