package container

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// hookOutputDelay is how long the output of a hook is read that has ended but whose children
// live on.
const hookOutputDelay = time.Second

// runHooks runs hooks one after the other, with the container's state on their standard
// input (runtime-spec, config.md "POSIX-platform Hooks"). status is what they are told; the
// first error ends it.
func (c *Container) runHooks(kind string, hooks []specs.Hook, status Status) error {
	if len(hooks) == 0 {
		return nil
	}
	state := c.OCIState()
	state.Status = specs.ContainerState(status)
	if status != StatusStopped {
		state.Pid = c.State.Init.PID
	}
	input, err := json.Marshal(state)
	if err != nil {
		return err
	}
	for i := range hooks {
		if err := c.runHook(&hooks[i], input); err != nil {
			return fmt.Errorf("error running %s hook #%d: %w", kind, i, err)
		}
	}
	return nil
}

func (c *Container) runHook(h *specs.Hook, input []byte) error {
	ctx := context.Background()
	if h.Timeout != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(*h.Timeout)*time.Second)
		defer cancel()
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, h.Path)
	if len(h.Args) > 0 {
		cmd.Args = h.Args
	}
	cmd.Env = append([]string{}, h.Env...)
	cmd.Dir = c.State.Bundle
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = hookOutputDelay
	err := cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("hook %s ran longer than its time limit of %d seconds", h.Path, *h.Timeout)
	}
	if err != nil {
		return fmt.Errorf("hook %s: %w, output: %s", h.Path, err, strings.TrimSpace(out.String()))
	}
	return nil
}
