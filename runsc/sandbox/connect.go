package sandbox

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
)

// socketName is the control socket's name in the directory of the sandbox's first
// container.
const socketName = "control.sock"

// backlog is how many runscs may wait for the sandbox to accept their connection.
const backlog = 128

// address returns a name for the control socket that is short enough for any directory
// (unix(7): 107 bytes), valid while dir is open.
func address(dir *os.File) *unix.SockaddrUnix {
	return &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), socketName)}
}

// listen makes the control socket in dir. Only its owner can connect.
func listen(path string) (*os.File, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("creating the control socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	// The mode of the socket's file is that of the socket when it is bound (unix(7)).
	if err := unix.Fchmod(fd, 0o600); err != nil {
		f.Close()
		return nil, fmt.Errorf("creating the control socket: %w", err)
	}
	if err := unix.Bind(fd, address(dir)); err != nil {
		f.Close()
		return nil, fmt.Errorf("binding the control socket: %w", err)
	}
	if err := unix.Listen(fd, backlog); err != nil {
		f.Close()
		return nil, fmt.Errorf("listening on the control socket: %w", err)
	}
	return f, nil
}

// Connect makes a connection to the sandbox whose first container has the directory path.
func Connect(path string) (*control.Conn, error) {
	dir, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("connecting to the sandbox: %w", err)
	}
	defer dir.Close()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("connecting to the sandbox: %w", err)
	}
	f := os.NewFile(uintptr(fd), "control")
	if err := unix.Connect(fd, address(dir)); err != nil {
		f.Close()
		return nil, fmt.Errorf("connecting to the sandbox (%s): %w", filepath.Join(path, socketName), err)
	}
	return control.NewConn(f, control.MaxReply), nil
}

// An Error is what the sandbox says why something could not be done. Code is the exit
// code to end with, if not 0.
type Error struct {
	Text string
	Code int
}

// Error implements error.
func (e *Error) Error() string { return e.Text }

// Receive waits for a message; that something failed is an *Error.
func Receive(conn *control.Conn) (*control.Reply, error) {
	reply := new(control.Reply)
	if err := conn.Receive(reply); err != nil {
		return nil, err
	}
	if reply.Failed != "" {
		return nil, &Error{reply.Failed, reply.Code}
	}
	return reply, nil
}

// Call sends a request and waits for the reply. The error is an *Error if the sandbox
// refuses.
func Call(conn *control.Conn, r *control.Request, files ...*os.File) (*control.Reply, error) {
	if err := conn.Send(r, files...); err != nil {
		return nil, err
	}
	reply, err := Receive(conn)
	if err == nil {
		return reply, nil
	}
	if _, refused := err.(*Error); refused {
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrDied, err)
}
