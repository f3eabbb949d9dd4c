package config

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

// OpenLog opens the log that engines read: --log in --log-format, where each
// line has a time, a lower-case level and a message, as runc writes them. Without
// --log it writes nothing: errors reach the person on standard error anyway.
func (c *Config) OpenLog() (*slog.Logger, io.Closer, error) {
	if c.Log == "" {
		return slog.New(slog.DiscardHandler), io.NopCloser(nil), nil
	}
	f, err := os.OpenFile(c.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, fmt.Errorf("opening the log: %w", err)
	}
	return slog.New(c.handler(f)), f, nil
}

// OpenDebugLog opens the debug log of a command. It returns nil without an error
// if there is to be none.
func (c *Config) OpenDebugLog(command, id, timestamp string) (*os.File, error) {
	path := c.DebugLogPath(command, id, timestamp)
	if path == "" {
		return nil, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("creating the directory of the debug log: %w", err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening the debug log: %w", err)
	}
	return f, nil
}

// DebugHandler returns the handler of a debug log that writes to w, and its level,
// which may be changed.
func (c *Config) DebugHandler(w io.Writer) (slog.Handler, *slog.LevelVar) {
	level := new(slog.LevelVar)
	if c.Debug || c.Strace {
		level.Set(slog.LevelDebug)
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}), level
}

func (c *Config) handler(w io.Writer) slog.Handler {
	level := slog.LevelInfo
	if c.Debug {
		level = slog.LevelDebug
	}
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.LevelKey {
			a.Value = slog.StringValue(levelName(a.Value.String()))
		}
		return a
	}}
	if c.LogFormat == "json" {
		return slog.NewJSONHandler(w, options)
	}
	return slog.NewTextHandler(w, options)
}

// levelName is runc's name of a level.
func levelName(name string) string {
	if name == "WARN" {
		return "warning"
	}
	return strings.ToLower(name)
}
