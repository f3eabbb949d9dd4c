// Package sandbox starts a sandbox, which is two processes, the sentry (runsc
// boot) and the gofer, and talks to it from the host's side.
package sandbox

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
	"casemate/runsc/control"
	"casemate/runsc/netns"
)

// Args say what to start.
type Args struct {
	Boot  control.Boot
	Trees []control.Tree
	// Dir is the container's directory on the host. The processes mount over it, in
	// their own namespaces.
	Dir string
	// Files are the first process's descriptors: three, or more if some are preserved.
	Files []*os.File
	// Console says that the first of Files becomes the sentry's controlling terminal,
	// so that it hears of a change of the terminal's size.
	Console bool
	// Stores are the file stores, in the order of Boot.Stores.
	Stores []*os.File
	// DebugLog may be nil.
	DebugLog *os.File
	// Capture is the file of --pcap; it may be nil.
	Capture *os.File
	// Exit is the file that the sandbox writes the container's exit code to.
	Exit *os.File
	// Cgroup is where both processes are put before they do anything. May be nil.
	Cgroup *cgroup.Group
	// Foreground has the processes die with the thread that starts them, which must be
	// the main one, locked.
	Foreground bool
	Rootless   bool
	// HostNet has the sandbox run in the network namespace NetNS, or in that of the
	// caller if it is "", rather than in a new one.
	HostNet bool
	NetNS   string
}

// A Sandbox is one that this process has started.
type Sandbox struct {
	Conn   *control.Conn // the first connection
	dir    string
	sentry *exec.Cmd
	gofer  *exec.Cmd
}

// Start starts the processes of a sandbox, which wait for Configure then.
func Start(a *Args) (s *Sandbox, err error) {
	begun := &Sandbox{dir: a.Dir}
	defer func() {
		if err != nil {
			begun.Destroy()
		}
	}()
	control1, control2, err := socketPair(unix.SOCK_STREAM, "control")
	if err != nil {
		return nil, err
	}
	defer control2.Close()
	begun.Conn = control.NewConn(control1, control.MaxReply)
	listener, err := listen(a.Dir)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	gofer, files, err := startGofer(a)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	begun.gofer = gofer
	return begun, begun.startSentry(a, control2, listener, files)
}

// Configure has the sandbox make its first container, and waits for that.
func (s *Sandbox) Configure(a *Args) error {
	_, err := s.Call(&a.Boot)
	return err
}

// Call sends a message on the first connection and waits for the reply to it. The error is
// an *Error if the sandbox refuses.
func (s *Sandbox) Call(message any) (*control.Reply, error) {
	if err := s.Conn.Send(message); err != nil {
		return nil, s.Death(err)
	}
	return s.Receive()
}

// Receive waits for the sandbox's next message. If the sandbox dies, the error says
// how.
func (s *Sandbox) Receive() (*control.Reply, error) {
	reply, err := Receive(s.Conn)
	refused := (*Error)(nil)
	switch {
	case err == nil:
		return reply, nil
	case !errors.As(err, &refused):
		return nil, s.Death(err)
	}
	if s.gofer.ProcessState == nil {
		// The reason may be the gofer's end.
		s.gofer.Process.Kill()
		s.gofer.Wait()
		if said := strings.TrimSpace(LastWords(s.dir)); s.gofer.ProcessState.ExitCode() > 0 && said != "" {
			refused.Text = "gofer: " + said
		}
	}
	return nil, refused
}

func socketPair(kind int, name string) (*os.File, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("creating the %s socket: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP

// command prepares runsc itself with another subcommand, in namespaces of its
// own. uid is the host's user that is root in its user namespace, or -1 if it
// needs none.
func command(name string, a *Args, flags uintptr, uid, gid int) (*exec.Cmd, error) {
	cmd := exec.Command("/proc/self/exe", name)
	cmd.Args[0] = "runsc"
	cmd.Env = []string{"GOTRACEBACK=all"}
	cmd.Dir = "/"
	output, err := os.OpenFile(diary(a.Dir), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = output
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Setsid: true}
	if a.Foreground {
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	}
	if uid >= 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true}
	}
	return cmd, nil
}

// start starts a process that waits for its configuration, and puts it into the cgroup, whose
// limits are known then.
func (a *Args) start(cmd *exec.Cmd) error {
	defer cmd.Stderr.(*os.File).Close()
	if err := cmd.Start(); err != nil {
		return err
	}
	if a.Cgroup == nil {
		return nil
	}
	err := a.Cgroup.Add(cmd.Process.Pid)
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		return err
	}
	a.Boot.Limits = a.Cgroup.Limits()
	return nil
}

// nobody is the host's user and group that the sentry's root is, if runsc is root.
const nobody = 65534

func (s *Sandbox) startSentry(a *Args, conn, listener, gofer *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	log, capture := cmp.Or(a.DebugLog, null), cmp.Or(a.Capture, null)
	uid, gid := nobody, nobody
	if a.Rootless {
		uid, gid = os.Geteuid(), os.Getegid()
	}
	flags := uintptr(namespaces)
	if !a.HostNet {
		flags |= unix.CLONE_NEWNET
	}
	cmd, err := command("boot", a, flags, uid, gid)
	if err != nil {
		return err
	}
	cmd.ExtraFiles = slices.Concat([]*os.File{conn, listener, gofer, log, capture, a.Exit}, a.Files, a.Stores)
	if a.Console {
		cmd.SysProcAttr.Setctty, cmd.SysProcAttr.Ctty = true, control.FDStdin
	}
	if err := a.startWithin(cmd); err != nil {
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	s.sentry = cmd
	return nil
}

// startWithin is start in the sandbox's network namespace.
func (a *Args) startWithin(cmd *exec.Cmd) error {
	if !a.HostNet || a.NetNS == "" {
		return a.start(cmd)
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leave, err := netns.Enter(a.NetNS)
	if err != nil {
		return err
	}
	return errors.Join(a.start(cmd), leave())
}

// PID returns the host's process ids of the sentry and of the gofer.
func (s *Sandbox) PID() (sentry, gofer int) { return s.sentry.Process.Pid, s.gofer.Process.Pid }

// ErrDied says that the sandbox ended without a word.
var ErrDied = errors.New("the sandbox died")

// Death waits for the end of a sandbox whose control socket has closed with err,
// and describes it.
func (s *Sandbox) Death(err error) error {
	if s.sentry == nil || s.sentry.ProcessState != nil {
		return err
	}
	s.Conn.Close()
	s.sentry.Process.Kill() // if it only has closed its socket
	how := "it ended"
	if werr := s.sentry.Wait(); werr != nil {
		how = werr.Error()
	}
	if text := strings.TrimSpace(LastWords(s.dir)); text != "" {
		return fmt.Errorf("%w: %s: %s", ErrDied, how, text)
	}
	return fmt.Errorf("%w: %s", ErrDied, how)
}

// Destroy kills what is left of the sandbox and waits for its end.
func (s *Sandbox) Destroy() {
	if s.Conn != nil {
		s.Conn.Close()
	}
	for _, cmd := range []*exec.Cmd{s.sentry, s.gofer} {
		if cmd != nil && cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
}
