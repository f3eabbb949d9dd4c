package boot

import (
	"errors"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
)

// hostSignals are the signals that this process gets: its process id is the container's on
// the host.
func hostSignals() <-chan os.Signal {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals, unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH)
	return signals
}

// forward sends them on to the container's first process, once that runs.
func (s *container) forward(signals <-chan os.Signal) {
	for sig := range signals {
		switch {
		case sig == unix.SIGWINCH && s.init.console != nil:
			s.init.console.follow()
		case sig == unix.SIGHUP && s.init.console != nil:
			// The host's terminal has gone, which pumpInput has seen too.
		case s.started.Load():
			s.init.signal(int(sig.(syscall.Signal)))
		}
	}
}

// listen serves the runscs that connect.
func (s *sandbox) listen() {
	for {
		fd, _, err := unix.Accept4(control.FDListener, unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			conn := control.NewConn(os.NewFile(uintptr(fd), "control"), control.MaxBoot)
			conn.AcceptFiles()
			go s.converse(conn)
		case unix.EINTR, unix.ECONNABORTED:
		default:
			s.log.Error("accepting control connections", "error", err)
			return
		}
	}
}

// A conversation is one control connection.
type conversation struct {
	*sandbox
	conn     *control.Conn
	attached *process // nil before Exec or Attach
	kill     bool     // attached is killed when the connection ends
	starting *process // that has been started by Start, which Started has not followed yet
	waiting  []*process
}

// converse does what the other end of conn asks for.
func (s *sandbox) converse(conn *control.Conn) {
	c := &conversation{sandbox: s, conn: conn}
	defer c.end()
	for {
		var r control.Request
		if err := conn.Receive(&r); err != nil {
			return
		}
		reply, err := c.serve(&r, conn.Files())
		if err != nil {
			reply = failure(err)
		}
		if reply != nil && conn.Send(reply) != nil {
			return
		}
	}
}

func (c *conversation) end() {
	for _, p := range c.waiting {
		p.forget(c.conn)
	}
	if c.attached != nil && c.kill {
		c.attached.signal(int(unix.SIGKILL))
	}
	if c.starting != nil {
		c.starting.signal(int(unix.SIGKILL))
	}
	closeAll(c.conn.Files())
	c.conn.Close()
}

// serve does what r asks for and returns the reply to it, nil if there is none or a
// process's end is to follow. It takes over files.
func (c *conversation) serve(r *control.Request, files []int) (*control.Reply, error) {
	switch {
	case r.Create != nil:
		return &control.Reply{}, c.add(r.Create, files)
	case r.Exec != nil:
		return c.exec(r.Exec, files)
	case r.Debug != nil:
		return c.debug(r.Debug, files)
	case r.Network != nil:
		found, err := c.find(r.Start)
		if err != nil {
			closeAll(files)
			return nil, err
		}
		if err := found.takeNetwork(r.Network, files); err != nil {
			return nil, err
		}
		files = nil
	}
	closeAll(files)
	switch {
	case r.Start != "":
		found, err := c.find(r.Start)
		if err != nil {
			return nil, err
		}
		if err := found.start(); err != nil {
			return nil, err
		}
		c.starting = found.init
		return &control.Reply{}, nil
	case r.Started:
		c.starting = nil
		return nil, nil
	case r.Attach != "":
		found, err := c.find(r.Attach)
		if err != nil {
			return nil, err
		}
		c.attached, c.kill = found.init, r.Kill
		c.await(found.init, &control.Reply{})
		return nil, nil
	case r.Wait != "":
		found, err := c.find(r.Wait)
		if err != nil {
			return nil, err
		}
		c.await(found.init, nil)
		return nil, nil
	case r.Signal != nil:
		err := c.signal(r.Signal)
		if c.attached != nil {
			return nil, nil
		}
		return &control.Reply{}, err
	case r.Resize != nil:
		if c.attached != nil && c.attached.console != nil {
			c.attached.console.Resize(winsize(*r.Resize))
		}
		return nil, nil
	case r.Processes != "":
		found, err := c.find(r.Processes)
		if err != nil {
			return nil, err
		}
		reply := &control.Reply{}
		for _, tg := range found.processes() {
			p := found.info(tg)
			if r.Shown {
				p.Host = tg.ShowOnHost()
			}
			reply.Processes = append(reply.Processes, p)
		}
		return reply, nil
	case r.Update != nil:
		return c.change(r.Update.Container, func(found *container) { found.update(r.Update) })
	case r.OOMKills != "":
		found, err := c.find(r.OOMKills)
		if err != nil {
			return nil, err
		}
		return &control.Reply{OOMKills: found.cgroup.OOMKills()}, nil
	case r.Pause != "":
		return c.change(r.Pause, func(found *container) { found.cgroup.Freeze() })
	case r.Resume != "":
		return c.change(r.Resume, func(found *container) { found.cgroup.Thaw() })
	case r.Delete != "":
		return &control.Reply{}, c.remove(r.Delete)
	}
	return nil, errors.New("unknown request")
}

// change does something to a container that cannot fail.
func (c *conversation) change(id string, do func(*container)) (*control.Reply, error) {
	found, err := c.find(id)
	if err != nil {
		return nil, err
	}
	do(found)
	return &control.Reply{}, nil
}

// await has the connection told of p's end, after first, a reply that may be nil.
func (c *conversation) await(p *process, first *control.Reply) {
	c.waiting = append(c.waiting, p)
	p.wait(c.conn, first)
}

// exec runs another process in a container.
func (c *conversation) exec(e *control.Exec, files []int) (*control.Reply, error) {
	found, err := c.find(e.Container)
	if err == nil && len(files) != 3+e.Preserved {
		err = errors.New("the wrong number of descriptors has come with a process")
	}
	if err != nil {
		closeAll(files)
		return nil, err
	}
	found.gofer.CatchUp() // with what the engine has changed in the files before
	p, err := found.newProcess(e.Process, e.Nice, e.Stdio, files, false)
	if setup := (*initFailure)(nil); errors.As(err, &setup) {
		err = setup.err // the container is there already
	}
	if err != nil {
		return nil, err
	}
	pid := 0
	if p.tg != nil {
		pid = int(p.tg.ID(found.namespaces.PIDForChildren))
	}
	if err := p.start(); err != nil {
		return nil, err
	}
	c.attached, c.kill = p, true
	c.await(p, &control.Reply{PID: pid})
	go func() {
		<-p.done
		p.tell()
	}()
	return nil, nil
}

// signal sends a signal to a container's first process or to all, or to the process that
// the connection is attached to.
func (c *conversation) signal(r *control.Signal) error {
	if r.Container == "" {
		if c.attached == nil {
			return errNoContainer
		}
		return c.attached.signal(r.Number)
	}
	found, err := c.find(r.Container)
	if err != nil {
		return err
	}
	if r.All {
		found.signalAll(r.Number)
		return nil
	}
	return found.init.signal(r.Number)
}
