package boot

import (
	"fmt"
	"log/slog"
	"runtime"

	"casemate/runsc/control"
)

// debug serves runsc debug.
func (s *sandbox) debug(d *control.Debug) (*control.Reply, error) {
	reply := &control.Reply{}
	switch d.Level {
	case "":
	case "debug":
		s.level.Set(slog.LevelDebug)
	case "info":
		s.level.Set(slog.LevelInfo)
	case "warning":
		s.level.Set(slog.LevelWarn)
	default:
		return nil, fmt.Errorf("there is no log level %q", d.Level)
	}
	if d.Strace != nil {
		if *d.Strace {
			s.level.Set(slog.LevelDebug)
			s.kernel.SetStrace(func(line string) { s.log.Debug(line) })
		} else {
			s.kernel.SetStrace(nil)
		}
	}
	if d.Stacks {
		reply.Text = stacks()
	}
	return reply, nil
}

// stacks are those of all goroutines, as many as go into a message.
func stacks() string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) || len(buf) >= control.MaxReply/2 {
			return string(buf[:n])
		}
		buf = make([]byte, 2*len(buf))
	}
}
