package container

import (
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"casemate/runsc/control"
)

// sendConsole makes a pseudo-terminal, sends its master end to who listens on the console
// socket, and returns the other end, in raw mode: the container's own terminal interprets
// what is typed.
func sendConsole(socket string) (*os.File, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("connecting to the console socket: %w", err)
	}
	defer conn.Close()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	number, err := unix.IoctlGetUint32(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	name := fmt.Sprintf("/dev/pts/%d", number)
	slave, err := os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	if _, err := term.MakeRaw(int(slave.Fd())); err != nil {
		slave.Close()
		return nil, fmt.Errorf("making a terminal: %w", err)
	}
	if _, _, err := conn.WriteMsgUnix([]byte(name), unix.UnixRights(int(master.Fd())), nil); err != nil {
		slave.Close()
		return nil, fmt.Errorf("sending the terminal over the console socket: %w", err)
	}
	return slave, nil
}

// Terminal says where a process's terminal is, if it has one.
type Terminal struct {
	// ConsoleSocket is the path of a socket that gets the master end; "" if it is the
	// terminal on this process's standard input.
	ConsoleSocket string
	restore       func()
}

// files returns the descriptors of a process, and fills in what the sandbox is told of them.
// Those from 3 on are preserve more of this process's.
func (t *Terminal) files(terminal bool, preserve int, stdio *control.Stdio) ([]*os.File, error) {
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	switch {
	case !terminal && t.ConsoleSocket != "":
		return nil, errors.New("cannot use console socket if runsc will not detach or allocate tty")
	case terminal && t.ConsoleSocket != "":
		tty, err := sendConsole(t.ConsoleSocket)
		if err != nil {
			return nil, err
		}
		files = []*os.File{tty, tty, tty}
		stdio.Terminal = true
	case terminal:
		size, err := t.take()
		if err != nil {
			return nil, err
		}
		files = []*os.File{os.Stdin, os.Stdin, os.Stdin}
		stdio.Terminal, stdio.Size = true, size
	}
	for i := range preserve {
		fd := 3 + i
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil {
			return nil, fmt.Errorf("descriptor %d, which is to be preserved: %w", fd, err)
		}
		files = append(files, os.NewFile(uintptr(fd), "preserved"))
	}
	stdio.Preserved = preserve
	return files, nil
}

// take makes the terminal on standard input raw.
func (t *Terminal) take() (control.WindowSize, error) {
	if !term.IsTerminal(0) {
		return control.WindowSize{}, errors.New("process.terminal is true, but standard input is not a terminal")
	}
	size, err := WindowSize()
	if err != nil {
		return size, err
	}
	old, err := term.MakeRaw(0)
	if err != nil {
		return size, fmt.Errorf("setting up the terminal: %w", err)
	}
	t.restore = func() { term.Restore(0, old) }
	return size, nil
}

// Restore gives the terminal on standard input back as it was.
func (t *Terminal) Restore() {
	if t.restore != nil {
		t.restore()
	}
}

// WindowSize returns the size of the terminal on standard input.
func WindowSize() (control.WindowSize, error) {
	ws, err := unix.IoctlGetWinsize(0, unix.TIOCGWINSZ)
	if err != nil {
		return control.WindowSize{}, fmt.Errorf("reading the terminal's size: %w", err)
	}
	return control.WindowSize{Rows: ws.Row, Cols: ws.Col, X: ws.Xpixel, Y: ws.Ypixel}, nil
}
