package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
)

// A Gofer is one that this process has started for another container of a sandbox.
type Gofer struct {
	cmd *exec.Cmd
	// Socket is the sandbox's end of the connection.
	Socket *os.File
}

// StartGofer starts the gofer of a's container alone.
func StartGofer(a *Args) (*Gofer, error) {
	cmd, socket, err := startGofer(a)
	if err != nil {
		return nil, err
	}
	return &Gofer{cmd, socket}, nil
}

// PID returns its process id.
func (g *Gofer) PID() int { return g.cmd.Process.Pid }

// Destroy kills it and waits for its end.
func (g *Gofer) Destroy() {
	g.Socket.Close()
	g.cmd.Process.Kill()
	g.cmd.Wait()
}

// startGofer starts a gofer and returns the sandbox's end of its socket.
func startGofer(a *Args) (*exec.Cmd, *os.File, error) {
	server, client, err := socketPair(unix.SOCK_SEQPACKET, "gofer")
	if err != nil {
		return nil, nil, err
	}
	defer server.Close()
	r, w, err := os.Pipe()
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("creating a pipe: %w", err)
	}
	defer r.Close()
	defer w.Close()
	uid, gid := -1, -1
	if a.Rootless {
		uid, gid = os.Geteuid(), os.Getegid()
	}
	cmd, err := command("gofer", a, namespaces|unix.CLONE_NEWNET, uid, gid)
	if err == nil {
		cmd.ExtraFiles = []*os.File{server, r}
		err = a.start(cmd)
	}
	if err != nil {
		client.Close()
		return nil, nil, fmt.Errorf("starting the gofer: %w", err)
	}
	r.Close()
	if err := json.NewEncoder(w).Encode(&control.GoferConfig{Trees: a.Trees, ID: a.Boot.ID, Scratch: a.Dir}); err != nil {
		client.Close()
		cmd.Process.Kill()
		cmd.Wait()
		return nil, nil, fmt.Errorf("configuring the gofer: %w", err)
	}
	return cmd, client, nil
}
