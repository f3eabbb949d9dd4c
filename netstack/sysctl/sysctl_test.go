package sysctl

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTable(t *testing.T) {
	var tab Table
	n := tab.New("net.a.numbers", 0, 10, 1, 2)
	word := "cubic"
	tab.Text("net.a.word", func() string { return word }, func(s string) error {
		if s != "reno" {
			return unix.ENOENT
		}
		word = s
		return nil
	})
	tab.Text("net.b.fixed", func() string { return "x y" }, nil)
	changes := 0
	n.Changed = func() { changes++ }
	for _, c := range []struct {
		name, value string
		err         error
		after       string
	}{
		{"net.a.numbers", "3 4\n", nil, "3\t4"},
		{"net.a.numbers", "0x5", nil, "5\t4"},
		{"net.a.numbers", "11", unix.EINVAL, "5\t4"},
		{"net.a.numbers", "1 2 3", unix.EINVAL, "5\t4"},
		{"net.a.numbers", "one", unix.EINVAL, "5\t4"},
		{"net.a.word", "reno\n", nil, "reno"},
		{"net.a.word", "bbr\n", unix.ENOENT, "reno"},
		{"net.b.fixed", "z", unix.EACCES, "x y"},
	} {
		if err := tab.Write(c.name, c.value); err != c.err {
			t.Errorf("%s = %q: %v, want %v", c.name, c.value, err, c.err)
		}
		if got, ok := tab.Read(c.name); got != c.after || !ok {
			t.Errorf("%s is %q, want %q", c.name, got, c.after)
		}
	}
	if changes != 2 {
		t.Errorf("%d changes, want 2", changes)
	}
	if err := tab.Write("net.c", "1"); err != unix.ENOENT {
		t.Errorf("an unknown parameter: %v", err)
	}
	if l := tab.Names(); !slices.Equal(l, []string{"net.a.numbers", "net.a.word", "net.b.fixed"}) {
		t.Errorf("names %q", l)
	}
	tab.Rename("net.a.", "net.z.")
	if tab.Lookup("net.z.numbers") != n || tab.Lookup("net.a.numbers") != nil {
		t.Error("not renamed")
	}
	tab.Remove("net.z.")
	if tab.Lookup("net.z.numbers") != nil {
		t.Error("not removed")
	}
}
