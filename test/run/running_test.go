package run

import (
	"bytes"
	"errors"
	"io"
	"os/exec"
	"sync"
	"testing"
)

// A running container is one that the test talks with.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	errs  output
	outs  output
}

// An output collects what is written to it.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bytes.Clone(o.buf.Bytes())
}

// start starts a command whose standard descriptors are pipes.
func start(t *testing.T, cmd *exec.Cmd) *running {
	t.Helper()
	r := &running{t: t, cmd: cmd}
	var err error
	r.stdin, err = cmd.StdinPipe()
	must(t, err)
	cmd.Stdout, cmd.Stderr = &r.outs, &r.errs
	must(t, cmd.Start())
	return r
}

func (r *running) out() string { return string(r.outs.bytes()) }

// waitFor waits until the container has written text to its standard output.
func (r *running) waitFor(text string) {
	r.t.Helper()
	waitUntil(r.t, "output "+text+", errors: "+string(r.errs.bytes()), func() bool { return contains(r.outs.bytes(), text) })
}

// wait waits for the end.
func (r *running) wait() result {
	r.t.Helper()
	err := r.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	return result{r.out(), string(r.errs.bytes()), r.cmd.ProcessState.ExitCode()}
}
