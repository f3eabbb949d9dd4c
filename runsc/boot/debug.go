package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/pprof"
	"time"

	"casemate/runsc/control"
)

// debug serves runsc debug. It takes over files.
func (s *sandbox) debug(d *control.Debug, files []int) (*control.Reply, error) {
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
	return reply, s.profile(d, files)
}

// profile writes profiles of the sentry (runtime/pprof) to files, which it takes over.
func (s *sandbox) profile(d *control.Debug, files []int) error {
	next := func(name string) (*os.File, error) {
		if len(files) == 0 {
			return nil, errors.New("no file has come for a profile")
		}
		f := os.NewFile(uintptr(files[0]), name)
		files = files[1:]
		return f, nil
	}
	defer func() { closeAll(files) }()
	if d.ProfileCPU > 0 {
		f, err := next("CPU profile")
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		time.Sleep(d.ProfileCPU)
		pprof.StopCPUProfile()
	}
	if d.ProfileHeap {
		f, err := next("heap profile")
		if err != nil {
			return err
		}
		defer f.Close()
		runtime.GC() // it tells of the memory at the last collection
		return pprof.WriteHeapProfile(f)
	}
	return nil
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
