package boot

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/control"
)

// startHooks runs the startContainer hooks, which belong into the container's namespaces,
// with the container's state on their standard input (runtime-spec, config.md
// "POSIX-platform Hooks").
func (s *container) startHooks() error {
	if s.Spec.Hooks == nil {
		return nil
	}
	for i := range s.Spec.Hooks.StartContainer {
		if err := s.startHook(&s.Spec.Hooks.StartContainer[i]); err != nil {
			return fmt.Errorf("error running startContainer hook #%d: %w", i, err)
		}
	}
	return nil
}

func (s *container) startHook(h *specs.Hook) error {
	state, err := json.Marshal(&specs.State{
		Version: specs.Version, ID: s.ID, Status: specs.StateCreated, Pid: 1, Bundle: s.Bundle, Annotations: s.Spec.Annotations,
	})
	if err != nil {
		return err
	}
	var in, out [2]int
	if err := unix.Pipe2(in[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	if err := unix.Pipe2(out[:], unix.O_CLOEXEC); err != nil {
		closeAll(in[:])
		return err
	}
	writer, reader := os.NewFile(uintptr(in[1]), "state"), os.NewFile(uintptr(out[0]), "output")
	defer reader.Close()
	errs, err := unix.FcntlInt(uintptr(out[1]), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		writer.Close()
		closeAll([]int{in[0], out[1]})
		return err
	}
	p := *s.Spec.Process
	p.Terminal, p.Cwd, p.User, p.Rlimits = false, "/", specs.User{}, nil
	p.Args, p.Env = append([]string{h.Path}, tail(h.Args)...), h.Env
	hook, err := s.newProcess(&p, s.Nice, control.Stdio{}, []int{in[0], out[1], errs}, false)
	if err != nil {
		writer.Close()
		return fmt.Errorf("hook %s: %w", h.Path, err)
	}
	if err := hook.start(); err != nil {
		writer.Close()
		return fmt.Errorf("hook %s: %w", h.Path, err)
	}
	go func() {
		writer.Write(state) // a hook need not read it
		writer.Close()
	}()
	said := make(chan string, 1)
	go func() {
		var buf [4096]byte
		n, _ := reader.Read(buf[:])
		said <- string(buf[:max(n, 0)])
	}()
	var late <-chan time.Time
	if h.Timeout != nil {
		timer := time.NewTimer(time.Duration(*h.Timeout) * time.Second)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-hook.done:
	case <-late:
		hook.signal(int(unix.SIGKILL))
		<-hook.done
		return fmt.Errorf("hook %s ran longer than its time limit of %d seconds", h.Path, *h.Timeout)
	}
	if status := hook.exit.Status(); status != 0 {
		return fmt.Errorf("hook %s: exit status %d, output: %s", h.Path, status, <-said)
	}
	return nil
}

// tail is args without the first, the program's name for itself.
func tail(args []string) []string {
	if len(args) == 0 {
		return nil
	}
	return args[1:]
}
