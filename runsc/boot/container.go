package boot

import (
	"cmp"
	"errors"
	"fmt"
	"sync/atomic"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/runsc/control"
	"casemate/sentry/kernel"
	"casemate/sentry/socket/families"
	"casemate/sentry/tty"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// A container is one of the sandbox's: a root file system of its own, with a gofer of
// its own, and the processes that began in it.
type container struct {
	*sandbox
	control.Container
	gofer      *gofer.Client
	userNS     *cred.UserNamespace
	namespaces kernel.Namespaces
	cgroup     *kernel.Cgroup
	ownPIDs    bool                 // no other container shares the pid namespace
	net        *kernel.NetNamespace // of namespaces, if the container has a reference to it
	stdio      []int
	storeFDs   []int // as Stores
	mounts     *vfs.MountNamespace
	ctx        *vfs.Context // of the sandbox itself: root with all capabilities
	devpts     *tty.FileSystem
	filters    []*kernel.SeccompFilter // of all its processes
	init       *process
	started    atomic.Bool
}

// prepare makes all of a container but its first process. It takes over files: the gofer's
// socket and the descriptors of that process.
func (s *sandbox) prepare(conf *control.Container, files []int) (*container, error) {
	if len(files) != 4+conf.Preserved+len(conf.Stores) {
		closeAll(files)
		return nil, fmt.Errorf("%d descriptors have come for a container", len(files))
	}
	c := &container{sandbox: s, Container: *conf, stdio: files[1 : 4+conf.Preserved], storeFDs: files[4+conf.Preserved:]}
	if err := c.enterNamespaces(); err != nil {
		closeAll(files)
		return nil, err
	}
	c.enterCgroup()
	var err error
	if c.gofer, err = gofer.Dial(files[0]); err != nil {
		closeAll(c.stdio)
		return nil, fmt.Errorf("connecting to the gofer: %w", err)
	}
	if err = c.assemble(); err == nil {
		err = c.setSysctls()
	}
	if err == nil {
		err = c.loadProfile()
	}
	if err != nil {
		closeAll(c.stdio)
		c.release()
		return nil, initError(err)
	}
	return c, nil
}

// enterNamespaces finds the container's namespaces. The first container's are the
// sandbox's. Another one has those of its own that its spec lists without a path, and shares
// those that it joins with their containers, the rest with the first (nothing of the host's
// namespaces is here).
func (s *container) enterNamespaces() error {
	k := s.kernel
	s.namespaces = k.RootNamespaces()
	s.userNS = s.sandbox.userNS
	if s.ID == s.Boot.ID {
		s.ownPIDs = true
		return nil
	}
	if s.Spec.Linux == nil {
		return nil
	}
	var err error
	if s.userNS, err = s.userNamespace(s.Spec, s.userNS); err != nil {
		return err
	}
	for _, ns := range s.Spec.Linux.Namespaces {
		if id := s.Joins[string(ns.Type)]; id != "" {
			other, err := s.find(id)
			if err != nil {
				return err
			}
			s.share(ns.Type, &other.namespaces)
			continue
		}
		if ns.Path != "" && !(ns.Type == specs.NetworkNamespace && s.OwnNetwork) {
			continue
		}
		switch ns.Type {
		case specs.PIDNamespace:
			pids, err := k.NewPIDNamespace(nil, s.userNS)
			if err != nil {
				return err
			}
			s.namespaces.PIDForChildren = pids
			s.ownPIDs = true
		case specs.IPCNamespace:
			s.namespaces.IPC = k.NewIPCNamespace(s.userNS)
		case specs.UTSNamespace:
			s.namespaces.UTS = k.NewUTSNamespace(cmp.Or(s.Spec.Hostname, s.host.name), cmp.Or(s.Spec.Domainname, s.host.domain), s.userNS)
		case specs.NetworkNamespace:
			s.namespaces.Net = k.NewNetNamespace(s.userNS)
			s.net = s.namespaces.Net
			if err := families.Of(k, s.net).IP.UpLoopback(); err != nil {
				return err
			}
		}
	}
	return nil
}

// enterCgroup makes the container's control group.
func (s *container) enterCgroup() {
	s.cgroup = s.kernel.RootCgroup()
	if s.ID != s.Boot.ID {
		s.cgroup = s.kernel.NewCgroup(s.Hierarchies)
	}
	s.cgroup.SetLimits(s.limitsOf(resources(&s.Container), s.Container.Limits).group)
}

// share takes over the namespace of a type from those of another container.
func (s *container) share(kind specs.LinuxNamespaceType, of *kernel.Namespaces) {
	switch kind {
	case specs.PIDNamespace:
		s.namespaces.PIDForChildren = of.PIDForChildren
	case specs.IPCNamespace:
		s.namespaces.IPC = of.IPC
	case specs.UTSNamespace:
		s.namespaces.UTS = of.UTS
	case specs.NetworkNamespace:
		s.namespaces.Net, s.net = of.Net, of.Net
		s.net.IncRef()
	}
}

// create makes the first process, which start runs.
func (s *container) create() error {
	p, err := s.newProcess(s.Spec.Process, s.Nice, s.Stdio, s.stdio, true)
	s.stdio = nil
	if err != nil {
		return err
	}
	s.init = p
	return nil
}

var (
	errNoContainer = errors.New("container does not exist in the sandbox")
	errStarted     = errors.New("cannot start a container that has started already")
)

// start runs the first process.
func (s *container) start() error {
	if s.started.Swap(true) {
		return errStarted
	}
	if err := s.startHooks(); err != nil {
		return err
	}
	if err := s.init.start(); err != nil {
		return err
	}
	if s.ID != s.Boot.ID {
		go s.reap()
	}
	return nil
}

// reap waits for the end of a container that is not the first one, and ends what is left of
// it.
func (s *container) reap() {
	select {
	case <-s.init.done:
	case <-s.gofer.Done():
		s.log.Error("the gofer died: the container has no files any more", "id", s.ID)
		s.signalAll(int(unix.SIGKILL))
		<-s.init.done
	}
	s.signalAll(int(unix.SIGKILL))
	s.init.tell()
}

// processes are those of the container: those of its pid namespace or, if it shares that,
// those that see its mounts.
func (s *container) processes() []*kernel.ThreadGroup {
	all := s.namespaces.PIDForChildren.ThreadGroups()
	if s.ownPIDs && (s.ID != s.Boot.ID || s.alone()) {
		return all
	}
	var own []*kernel.ThreadGroup
	for _, tg := range all {
		if tg == s.init.tg || tg.Leader().FSContext().MountNS == s.mounts {
			own = append(own, tg)
		}
	}
	return own
}

// signalAll sends a signal to all processes of the container.
func (s *container) signalAll(sig int) {
	for _, tg := range s.processes() {
		if !tg.Zombie() {
			tg.SignalGroup(&kernel.SigInfo{Signo: int32(sig), Code: kernel.SIUser})
		}
	}
}

// alone reports whether there is one container.
func (s *sandbox) alone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.containers) == 1
}

// find returns the container called id.
func (s *sandbox) find(id string) (*container, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("%w: %s", errNoContainer, id)
}

// add makes another container.
func (s *sandbox) add(conf *control.Container, files []int) error {
	c, err := s.prepare(conf, files)
	if err != nil {
		return err
	}
	if err := c.create(); err != nil {
		c.release()
		return err
	}
	s.mu.Lock()
	_, taken := s.containers[c.ID]
	if !taken {
		s.containers[c.ID] = c
	}
	s.mu.Unlock()
	if taken {
		c.init.abandon()
		c.release()
		return fmt.Errorf("the sandbox has a container %s already", c.ID)
	}
	return nil
}

// remove forgets a container that is not the first one.
func (s *sandbox) remove(id string) error {
	c, err := s.find(id)
	if err != nil {
		return err
	}
	if id == s.Boot.ID {
		return errors.New("the first container of a sandbox ends with it")
	}
	if c.started.Swap(true) {
		c.signalAll(int(unix.SIGKILL))
		<-c.init.done
	} else {
		c.init.abandon()
		c.init.tell()
	}
	s.mu.Lock()
	delete(s.containers, id)
	s.mu.Unlock()
	c.release()
	return nil
}

// release gives back what the container holds.
func (s *container) release() {
	if s.mounts != nil {
		s.mounts.DecRef()
	}
	s.gofer.Close()
	if s.net != nil {
		s.net.DecRef()
	}
	if s.cgroup != s.kernel.RootCgroup() {
		s.cgroup.Remove()
	}
}

func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
