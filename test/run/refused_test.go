package run

import (
	"strings"
	"testing"
)

// TestRefused checks that what is not supported ends in an error that names it, and
// that the container does not run without it.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		flag   string
		change func(*bundle)
		want   string
	}{
		{"overlay in a directory that is not there", "--overlay2=root:dir=/nonesuch", nil, "/nonesuch"},
		{"idmapped mount", "--debug", func(b *bundle) { b.spec.Mounts = append(b.spec.Mounts, mount("/x", "bind", "/tmp", "bind", "idmap")) }, "idmapped"},
		{"unknown file system", "--debug", func(b *bundle) { b.spec.Mounts = append(b.spec.Mounts, mount("/x", "nonesuchfs", "x")) }, "nonesuchfs"},
		{"unknown option of a file system", "--debug", func(b *bundle) { b.spec.Mounts = append(b.spec.Mounts, mount("/x", "tmpfs", "x", "nonesuch=1")) }, "nonesuch=1"},
		{"unknown option of proc", "--debug", func(b *bundle) { b.spec.Mounts = append(b.spec.Mounts, mount("/x", "proc", "x", "hidepid=7")) }, "hidepid=7"},
		{"unknown sysctl", "--debug", func(b *bundle) { b.spec.Linux.Sysctl = map[string]string{"kernel.nonesuch": "1"} }, "kernel/nonesuch"},
		{"unknown sysctl", "--debug", func(b *bundle) { b.spec.Linux.Sysctl = map[string]string{"kernel.msg_next_id": "1"} }, "msg_next_id"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rt := range runscs(t) {
				b := newBundle(t, "echo ran")
				if c.change != nil {
					c.change(b)
				}
				got := rt.run(t, b, c.flag)
				if got.code == 0 || got.out != "" || !strings.Contains(got.err, c.want) {
					t.Errorf("%s: want an error that names %s: %v", rt.name, c.want, got)
				}
			}
		})
	}
}
