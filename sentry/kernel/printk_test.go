package kernel

import (
	"strings"
	"testing"

	"casemate/sentry/clock"
)

func TestLog(t *testing.T) {
	k := &Kernel{clock: clock.Host}
	k.boot = k.Boottime()
	l := &k.Log
	k.Printk(LevelInfo, "one %d", 1)
	k.Printk(LevelWarning, "two")
	all := string(l.All(1000, false))
	if lines := strings.SplitAfter(all, "\n"); len(lines) != 3 || !strings.HasPrefix(lines[0], "<6>[    0.") ||
		!strings.HasSuffix(lines[0], "] one 1\n") || !strings.HasPrefix(lines[1], "<4>[") {
		t.Errorf("log: %q", all)
	}
	two := all[strings.Index(all, "<4>"):]
	for _, n := range []int{len(two), len(two) + 1, len(all) - 1} {
		if got := string(l.All(n, false)); got != two {
			t.Errorf("the last %d bytes: %q, want %q", n, got, two)
		}
	}
	if got := string(l.All(len(two)-1, false)); got != "" {
		t.Errorf("too few bytes for a line: %q", got)
	}
	if got := string(l.Read(10)) + string(l.Read(1000)); got != all {
		t.Errorf("read %q, want %q", got, all)
	}
	if n := l.Unread(); n != 0 {
		t.Errorf("%d bytes unread after all was read", n)
	}
	l.Clear()
	k.Printk(LevelInfo, "three")
	if got := string(l.All(1000, true)); !strings.HasSuffix(got, "three\n") || strings.Contains(got, "two") {
		t.Errorf("after clearing: %q", got)
	}
	if n := l.Unread(); n == 0 {
		t.Error("clearing took what was not read")
	}
	for range LogSize / 50 {
		k.Printk(LevelInfo, "%s", strings.Repeat("x", 50))
	}
	k.Printk(LevelInfo, "last")
	got := string(l.Read(LogSize * 2))
	if len(got) > LogSize || !strings.HasPrefix(got, "<6>[") || !strings.HasSuffix(got, "last\n") {
		t.Errorf("a full log: %d bytes, %q", len(got), got[:20])
	}
	if l.Unread() != 0 {
		t.Error("unread after all was read from a full log")
	}
}
