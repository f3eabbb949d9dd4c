package kernel

import (
	"bytes"
	"fmt"
	"sync"

	"casemate/vfs/wait"
)

// LogSize is how many bytes a kernel's log holds; then the oldest lines go.
const LogSize = 1 << 18

// Levels of lines of the log (syslog(2)).
const (
	LevelError   = 3
	LevelWarning = 4
	LevelInfo    = 6
)

// A Log is the kernel's log, which dmesg(1) shows. Positions in it count all bytes that
// were ever written.
type Log struct {
	// Queue is notified of every line.
	Queue wait.Queue

	mu      sync.Mutex
	text    []byte
	first   uint64 // position of text
	unread  uint64 // where Read goes on
	cleared uint64 // where All begins
}

// Printk writes a line to the kernel's log, with the time since the sandbox began.
func (k *Kernel) Printk(level int, format string, args ...any) {
	us := (k.Boottime() - k.boot) / 1000
	l := &k.Log
	l.mu.Lock()
	l.text = fmt.Appendf(l.text, "<%d>[%5d.%06d] ", level, us/1e6, us%1e6)
	l.text = append(fmt.Appendf(l.text, format, args...), '\n')
	if excess := len(l.text) - LogSize; excess > 0 {
		excess += bytes.IndexByte(l.text[excess:], '\n') + 1
		l.text = append(l.text[:0], l.text[excess:]...)
		l.first += uint64(excess)
	}
	l.mu.Unlock()
	l.Queue.Notify(wait.In)
}

// Read takes up to n bytes that nobody has read (SYSLOG_ACTION_READ).
func (l *Log) Read(n int) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.from(l.unread)
	text = text[:min(n, len(text))]
	l.unread = max(l.unread, l.first) + uint64(len(text))
	return bytes.Clone(text)
}

// Unread returns how many bytes Read would find.
func (l *Log) Unread() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.from(l.unread))
}

// All returns the last lines that fit n bytes, as far back as the log was cleared; with
// clear it clears the log (SYSLOG_ACTION_READ_ALL, SYSLOG_ACTION_READ_CLEAR).
func (l *Log) All(n int, clear bool) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.from(l.cleared)
	if excess := len(text) - n; excess > 0 {
		// excess-1: a line that begins there is not cut.
		text = text[excess+bytes.IndexByte(text[excess-1:], '\n'):]
	}
	if clear {
		l.cleared = l.first + uint64(len(l.text))
	}
	return bytes.Clone(text)
}

// Clear makes All begin with what comes after (SYSLOG_ACTION_CLEAR).
func (l *Log) Clear() { l.All(0, true) }

// from returns the text from a position on. l.mu is held.
func (l *Log) from(position uint64) []byte {
	if position <= l.first {
		return l.text
	}
	return l.text[position-l.first:]
}
