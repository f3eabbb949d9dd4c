package config

import "testing"

func TestOverlay(t *testing.T) {
	for _, c := range []struct {
		flag          string
		root, overlay bool
		store         string
	}{
		{"none", true, false, ""}, {"none", false, false, ""},
		{"root:memory", true, true, ""}, {"root:memory", false, false, ""},
		{"all:memory", false, true, ""}, {"root:self", true, true, "/src"}, {"root:self", false, false, ""},
		{"all:self", false, true, "/src"}, {"root:dir=/a:b", true, true, "/a:b"}, {"all:dir=/a", false, true, "/a"},
	} {
		conf := Config{Overlay2: c.flag}
		if err := conf.checkOverlay(); err != nil {
			t.Errorf("%s: %v", c.flag, err)
		}
		if overlay, store := conf.Overlay(c.root, "/src"); overlay != c.overlay || store != c.store {
			t.Errorf("%s, root %v: %v %q", c.flag, c.root, overlay, store)
		}
	}
	for _, flag := range []string{"", "root", "root:", "some:memory", "root:disk", "root:dir=", "root:dir=rel", "memory"} {
		if (&Config{Overlay2: flag}).checkOverlay() == nil {
			t.Errorf("%q was taken", flag)
		}
	}
}

func TestDebugLogPath(t *testing.T) {
	for pattern, want := range map[string]string{
		"": "", "/tmp/log": "/tmp/log", "/tmp/%ID%.%COMMAND%.%TIMESTAMP%": "/tmp/id.boot.now", "/tmp/dir/": "/tmp/dir/runsc.log.now.boot.txt",
	} {
		if got := (&Config{DebugLog: pattern}).DebugLogPath("boot", "id", "now"); got != want {
			t.Errorf("%q: %q, want %q", pattern, got, want)
		}
	}
}
