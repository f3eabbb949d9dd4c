package boot

import (
	"errors"
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/bundle"
	"casemate/runsc/control"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/usermem"
)

// runInit runs the container's process to its end.
func (s *sandbox) runInit() error {
	tg, err := s.createInit()
	if failed := (*execError)(nil); errors.As(err, &failed) {
		return s.failExec(failed)
	}
	if err != nil {
		return err
	}
	if err := tg.Start(); err != nil {
		return fmt.Errorf("starting the process: %w", err)
	}
	if err := s.conn.Send(&control.Reply{Started: true}); err != nil {
		return err
	}
	go s.serve(tg)
	go s.newMemoryWatch().run()
	select {
	case <-tg.Exited():
	case <-s.gofer.Done():
		return errors.New("the gofer died: the container has no files any more")
	}
	s.drain()
	status := tg.ExitStatus()
	s.log.Info("the container's process has ended", "status", status)
	return s.conn.Send(&control.Reply{Exited: &control.Exit{Code: int(status.ExitCode()), Signal: int(status.Signal())}})
}

// serve does what runsc asks for. The end of runsc is that of the sandbox.
func (s *sandbox) serve(tg *kernel.ThreadGroup) {
	for {
		var r control.Request
		if err := s.conn.Receive(&r); err != nil {
			s.log.Info("runsc has gone", "error", err)
			os.Exit(1)
		}
		if r.Signal != 0 {
			tg.SignalGroup(&kernel.SigInfo{Signo: int32(r.Signal), Code: kernel.SIUser})
		}
		if r.Resize != nil && s.terminal != nil {
			s.terminal.Resize(winsize(*r.Resize))
		}
	}
}

// createInit makes the container's process.
func (s *sandbox) createInit() (*kernel.ThreadGroup, error) {
	p := s.Spec.Process
	c, err := s.credentials(p)
	if err != nil {
		return nil, initError(err)
	}
	limits := kernel.DefaultLimits()
	for _, l := range p.Rlimits {
		limits.Set(bundle.Rlimits[l.Type], unix.Rlimit{Cur: l.Soft, Max: l.Hard})
	}
	if err := s.makeCwd(p.Cwd); err != nil {
		return nil, initError(err)
	}
	namespaces := s.kernel.RootNamespaces()
	fds, err := s.stdio(c)
	if err != nil {
		return nil, err
	}
	o := &kernel.ProcessOptions{
		Argv: p.Args, Envp: p.Env, Cred: c, Limits: limits, MountNS: s.mounts, Cwd: p.Cwd, Umask: 0o022,
		FDs: fds, Namespaces: &namespaces, NoNewPrivs: p.NoNewPrivileges,
	}
	if p.User.Umask != nil {
		o.Umask = *p.User.Umask & 0o777
	}
	if p.OOMScoreAdj != nil {
		o.OOMScoreAdj = int32(*p.OOMScoreAdj)
	}
	fds.IncRef()
	defer fds.DecRef(s.ctx, nil)
	tg, err := s.kernel.CreateProcess(o)
	if err != nil {
		err = s.describe(p, c, err)
		if failed := (*execError)(nil); errors.As(err, &failed) {
			failed.show(s.ctx, fds)
		}
		return nil, err
	}
	if s.terminal != nil {
		if err := s.terminal.Job.Acquire(tg.Leader(), s.terminal, false); err != nil {
			return nil, fmt.Errorf("setting the controlling terminal: %w", err)
		}
	}
	return tg, nil
}

// credentials are those that the spec gives the process.
func (s *sandbox) credentials(p *specs.Process) (*cred.Credentials, error) {
	groups := make([]cred.GID, len(p.User.AdditionalGids))
	for i, g := range p.User.AdditionalGids {
		groups[i] = cred.GID(g)
	}
	c := cred.New(cred.UID(p.User.UID), cred.GID(p.User.GID), groups, s.userNS)
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
	}
	return c, nil
}

// stdio are the descriptors 0, 1 and 2: the terminal, or the host's descriptors.
func (s *sandbox) stdio(c *cred.Credentials) (*vfs.FDTable, error) {
	fds := vfs.NewFDTable()
	// They belong to the container's user, who may open /dev/stdout again.
	owner := vfs.NewContext(c, s.mounts)
	var terminal *vfs.File
	if s.Terminal {
		var err error
		if terminal, err = s.openTerminal(c); err != nil {
			return nil, err
		}
		defer terminal.DecRef()
	}
	for i, host := range [...]int{control.FDStdin, control.FDStdout, control.FDStderr} {
		f := terminal
		if f != nil {
			f.IncRef()
		} else {
			var err error
			if f, err = s.hostFDs.Import(owner, host); err != nil {
				return nil, fmt.Errorf("standard descriptor %d: %w", i, err)
			}
		}
		if _, err := fds.Add(f, int32(i), false, 3); err != nil {
			return nil, fmt.Errorf("standard descriptor %d: %w", i, err)
		}
	}
	return fds, nil
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
