package kernel

import (
	"golang.org/x/sys/unix"
)

// A ControllingTerminal is what the process model knows of a terminal: of which
// session it is the controlling terminal (credentials(7), tty(4)). A terminal
// driver has one in each terminal. The zero value is a terminal of no session.
type ControllingTerminal struct {
	session *Session // guarded by Kernel.mu
}

// Acquire makes tty, which c belongs to, the controlling terminal of t's session,
// of which t's process must be the leader (TIOCSCTTY). steal takes it from
// another session, for CAP_SYS_ADMIN. EPERM.
func (c *ControllingTerminal) Acquire(t *Task, tty TTY, steal bool) error {
	k := t.k
	k.mu.Lock()
	defer k.mu.Unlock()
	tg := t.tg
	s := tg.pgrp.session
	if s.leader == tg && c.session == s {
		return nil
	}
	if s.leader != tg || s.tty != nil {
		return unix.EPERM
	}
	if c.session != nil {
		if !steal || !t.HasCap(unix.CAP_SYS_ADMIN) {
			return unix.EPERM
		}
		c.session.loseTerminal()
	}
	c.session = s
	s.tty = tty
	tg.pgrp.foreground = true
	return nil
}

// loseTerminal takes the controlling terminal from s. k.mu is held.
func (s *Session) loseTerminal() {
	for _, g := range s.groups {
		g.foreground = false
	}
	s.tty = nil
}

// Disassociated is for the terminal's TTY method of that name.
func (c *ControllingTerminal) Disassociated(s *Session) {
	if c.session == s {
		c.session = nil
	}
}

// Relinquish gives up t's controlling terminal, which must be this one: a session's
// leader does it for the whole session (TIOCNOTTY). ENOTTY.
func (c *ControllingTerminal) Relinquish(t *Task) error {
	k := t.k
	k.mu.Lock()
	defer k.mu.Unlock()
	s := t.tg.pgrp.session
	if c.session == nil || s != c.session {
		return unix.ENOTTY
	}
	if s.leader == t.tg {
		k.disassociate(s)
	}
	return nil
}

// Hangup tells the session that the terminal has gone: its leader gets SIGHUP and
// SIGCONT, and so does the foreground process group.
func (c *ControllingTerminal) Hangup(k *Kernel) {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := c.session
	if s == nil {
		return
	}
	if s.leader != nil {
		s.leader.SignalGroup(kernelSigInfo(int32(unix.SIGHUP)))
		s.leader.SignalGroup(kernelSigInfo(int32(unix.SIGCONT)))
	}
	k.disassociate(s)
}

// foreground is the session's foreground process group, or nil. k.mu is held.
func (s *Session) foreground() *ProcessGroup {
	for _, g := range s.groups {
		if g.foreground {
			return g
		}
	}
	return nil
}

// SignalForeground sends a signal that the terminal makes to its foreground process
// group. It must not be called with locks held.
func (c *ControllingTerminal) SignalForeground(k *Kernel, sig int) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if c.session == nil {
		return
	}
	if g := c.session.foreground(); g != nil {
		g.signalLocked(kernelSigInfo(int32(sig)))
	}
}

// visible returns the session for a question of t: its own terminal's, or, at the
// master end, any. ENOTTY. k.mu is held.
func (c *ControllingTerminal) visible(t *Task, master bool) (*Session, error) {
	if c.session == nil {
		if master {
			return nil, nil
		}
		return nil, unix.ENOTTY
	}
	if !master && t.tg.pgrp.session != c.session {
		return nil, unix.ENOTTY
	}
	return c.session, nil
}

// Foreground returns the number of the foreground process group (TIOCGPGRP).
// ENOTTY if the terminal is not t's controlling one and t does not ask at the
// master end.
func (c *ControllingTerminal) Foreground(t *Task, master bool) (int32, error) {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	s, err := c.visible(t, master)
	if s == nil {
		return 0, err
	}
	if g := s.foreground(); g != nil {
		return g.ID(t.PIDNamespace()), nil
	}
	return 0, nil
}

// SessionID returns the number of the terminal's session (TIOCGSID). ENOTTY.
func (c *ControllingTerminal) SessionID(t *Task, master bool) (int32, error) {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	s, err := c.visible(t, master)
	if err != nil {
		return 0, err
	}
	if s == nil {
		return 0, unix.ENOTTY
	}
	return s.ID(t.PIDNamespace()), nil
}

// SetForeground makes group id of t's session the foreground process group
// (TIOCSPGRP). ENOTTY, EINVAL, ESRCH, EPERM.
func (c *ControllingTerminal) SetForeground(t *Task, id int32) error {
	k := t.k
	k.mu.Lock()
	defer k.mu.Unlock()
	s := c.session
	if s == nil || t.tg.pgrp.session != s {
		return unix.ENOTTY
	}
	if id < 0 {
		return unix.EINVAL
	}
	p := t.PIDNamespace().pids[id]
	if p == nil || p.group == nil {
		return unix.ESRCH
	}
	if p.group.session != s {
		return unix.EPERM
	}
	if old := s.foreground(); old != nil {
		old.foreground = false
	}
	p.group.foreground = true
	return nil
}

// CheckBackground stops t's process group by sig, SIGTTIN or SIGTTOU, if the
// terminal is t's controlling one and the group is in the background: then it
// returns ErrRestartSys. A group that cannot be stopped may write (SIGTTOU), but not
// read (EIO); an orphaned one gets EIO.
func (c *ControllingTerminal) CheckBackground(t *Task, sig unix.Signal) error {
	k := t.k
	k.mu.RLock()
	defer k.mu.RUnlock()
	pg := t.tg.pgrp
	if c.session == nil || pg == nil || pg.session != c.session || pg.foreground || c.session.foreground() == nil {
		return nil
	}
	n := int32(sig)
	if t.sigMask.Has(n) || t.tg.signalHandlers().get(n).Handler == sigIgn {
		if sig == unix.SIGTTIN {
			return unix.EIO
		}
		return nil
	}
	if pg.orphaned(nil) {
		return unix.EIO
	}
	pg.signalLocked(kernelSigInfo(n))
	return ErrRestartSys
}

// ControllingTerminal returns the terminal of t's session, nil if it has none.
func (t *Task) ControllingTerminal() TTY {
	t.k.mu.RLock()
	defer t.k.mu.RUnlock()
	if t.tg.pgrp == nil {
		return nil
	}
	return t.tg.pgrp.session.tty
}
