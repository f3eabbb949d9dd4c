// Package sandbox starts a sandbox, which is two processes, the sentry (runsc
// boot) and the gofer, and controls it from the host's side.
package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
	"casemate/runsc/netns"
)

// Args say what to start.
type Args struct {
	Boot  control.Boot
	Trees []control.Tree
	// Scratch is a directory over which the processes mount, in their own
	// namespaces.
	Scratch string
	// Stdio are the container's standard descriptors.
	Stdio [3]*os.File
	// DebugLog may be nil.
	DebugLog *os.File
	// Network are the packet sockets of Boot.Network.
	Network  []*os.File
	Rootless bool
	// HostNet has the sandbox run in the network namespace NetNS, or in that of the
	// caller if it is "", rather than in a new one.
	HostNet bool
	NetNS   string
}

// A Sandbox is a running sandbox.
type Sandbox struct {
	conn   *control.Conn
	sentry *exec.Cmd
	gofer  *exec.Cmd
	output *tail // what the sentry wrote to its standard error
	errors *tail // what the gofer wrote to its own
}

// Start starts the sandbox. The container's process runs when the first Receive
// has returned Started. The caller must call Destroy, and has called
// runtime.LockOSThread on the main thread: the processes are killed when the
// thread that started them ends.
func Start(a *Args) (*Sandbox, error) {
	s := &Sandbox{output: newTail(), errors: newTail()}
	ok := false
	defer func() {
		if !ok {
			s.Destroy()
		}
	}()
	control1, control2, err := socketPair(unix.SOCK_STREAM, "control")
	if err != nil {
		return nil, err
	}
	defer control2.Close()
	s.conn = control.NewConn(control1, control.MaxReply)
	files1, files2, err := socketPair(unix.SOCK_SEQPACKET, "gofer")
	if err != nil {
		return nil, err
	}
	defer files1.Close()
	defer files2.Close()
	if err := s.startGofer(a, files1); err != nil {
		return nil, err
	}
	if err := s.startSentry(a, control2, files2); err != nil {
		return nil, err
	}
	if err := s.conn.Send(&a.Boot); err != nil {
		return nil, s.Death(err)
	}
	ok = true
	return s, nil
}

func socketPair(kind int, name string) (*os.File, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("creating the %s socket: %w", name, err)
	}
	return os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name), nil
}

const namespaces = unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// command prepares runsc itself with another subcommand, in namespaces of its
// own. uid is the host's user that is root in its user namespace, or -1 if it
// needs none.
func command(name string, a *Args, flags uintptr, uid, gid int, output io.Writer) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", name)
	cmd.Args[0] = "runsc"
	cmd.Env = []string{"GOTRACEBACK=all"}
	cmd.Dir = "/"
	cmd.Stderr = output
	cmd.WaitDelay = time.Second // a stub may live on for a moment with the pipe
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags, Pdeathsig: unix.SIGKILL, Setsid: true}
	if uid >= 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: gid, Size: 1}}
		cmd.SysProcAttr.Credential = &syscall.Credential{NoSetGroups: true}
	}
	return cmd
}

func (s *Sandbox) startGofer(a *Args, socket *os.File) error {
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("creating a pipe: %w", err)
	}
	defer r.Close()
	defer w.Close()
	uid, gid := -1, -1
	if a.Rootless {
		uid, gid = os.Geteuid(), os.Getegid()
	}
	s.gofer = command("gofer", a, namespaces|unix.CLONE_NEWNET, uid, gid, s.errors)
	s.gofer.ExtraFiles = []*os.File{socket, r}
	if err := s.gofer.Start(); err != nil {
		s.gofer = nil
		return fmt.Errorf("starting the gofer: %w", err)
	}
	r.Close()
	if err := json.NewEncoder(w).Encode(&control.GoferConfig{Trees: a.Trees, ID: a.Boot.ID, Scratch: a.Scratch}); err != nil {
		return fmt.Errorf("configuring the gofer: %w", err)
	}
	return nil
}

// nobody is the host's user and group that the sentry's root is, if runsc is root.
const nobody = 65534

func (s *Sandbox) startSentry(a *Args, conn, gofer *os.File) error {
	log := a.DebugLog
	if log == nil {
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer null.Close()
		log = null
	}
	uid, gid := nobody, nobody
	if a.Rootless {
		uid, gid = os.Geteuid(), os.Getegid()
	}
	flags := uintptr(namespaces)
	if !a.HostNet {
		flags |= unix.CLONE_NEWNET
	}
	s.sentry = command("boot", a, flags, uid, gid, s.output)
	s.sentry.ExtraFiles = []*os.File{conn, gofer, log, a.Stdio[0], a.Stdio[1], a.Stdio[2]}
	s.sentry.ExtraFiles = append(s.sentry.ExtraFiles, a.Network...)
	if err := a.start(s.sentry); err != nil {
		s.sentry = nil
		return fmt.Errorf("starting the sandbox: %w", err)
	}
	return nil
}

// start starts the sentry in its network namespace.
func (a *Args) start(sentry *exec.Cmd) error {
	if !a.HostNet || a.NetNS == "" {
		return sentry.Start()
	}
	leave, err := netns.Enter(a.NetNS)
	if err != nil {
		return err
	}
	return errors.Join(sentry.Start(), leave())
}

// PID returns the host's process ids of the sentry and of the gofer.
func (s *Sandbox) PID() (sentry, gofer int) { return s.sentry.Process.Pid, s.gofer.Process.Pid }

// Receive waits for the sandbox's next message. If the sandbox dies, the error says
// how.
func (s *Sandbox) Receive() (*control.Reply, error) {
	reply := new(control.Reply)
	if err := s.conn.Receive(reply); err != nil {
		return nil, s.Death(err)
	}
	return reply, nil
}

// Send sends the sandbox a message.
func (s *Sandbox) Send(r *control.Request) error { return s.conn.Send(r) }

// ErrDied says that the sandbox ended without a word.
var ErrDied = errors.New("the sandbox died")

// Death waits for the end of a sandbox whose control socket has closed with err,
// and describes it.
func (s *Sandbox) Death(err error) error {
	if s.sentry == nil || s.sentry.ProcessState != nil {
		return err
	}
	s.conn.Close()
	s.sentry.Process.Kill() // if it only has closed its socket
	werr := s.sentry.Wait()
	how := "it ended"
	if werr != nil {
		how = werr.Error()
	}
	text := strings.TrimSpace(s.output.String())
	if goferSays := strings.TrimSpace(s.errors.String()); text == "" && goferSays != "" {
		text = "gofer: " + goferSays
	}
	if text != "" {
		return fmt.Errorf("%w: %s: %s", ErrDied, how, text)
	}
	return fmt.Errorf("%w: %s", ErrDied, how)
}

// Destroy kills what is left of the sandbox and waits for its end.
func (s *Sandbox) Destroy() {
	if s.conn != nil {
		s.conn.Close()
	}
	for _, cmd := range []*exec.Cmd{s.sentry, s.gofer} {
		if cmd != nil && cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	}
}
