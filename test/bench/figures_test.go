package main

import (
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	var f figures
	for _, out := range []string{"12.5\n", "13.5\n", "11\n"} {
		if err := f.parse("call", out); err != nil {
			t.Error(err)
		}
	}
	if err := f.parse("servers", "get 100 /s\nset 50 /s\nstart 3 ns\n"); err != nil {
		t.Error(err)
	}
	if want := []string{"call", "get", "set", "start"}; !slices.Equal(f.names, want) {
		t.Errorf("names %q, want %q", f.names, want)
	}
	if m := median(f.values["call"]); m != 12.5 {
		t.Errorf("median %v, want 12.5", m)
	}
	for _, bad := range []string{"", "x", "a b c", "a 1 kg", "1\n2"} {
		if err := new(figures).parse("p", bad); err == nil {
			t.Errorf("parse(%q) finds no fault", bad)
		}
	}
}

func TestTable(t *testing.T) {
	var a, b figures
	a.add("call", 100, "ns")
	b.add("call", 250, "ns")
	a.add("serve", 9000, "/s")
	b.add("serve", 3000, "/s")
	a.add("missing", 1, "ns")
	want := []string{
		"call                         100 ns       250 ns   2.50",
		"serve                        9000/s       3000/s   3.00",
		"missing                        1 ns         none",
	}
	if got := table(&a, &b); !slices.Equal(got, want) {
		t.Errorf("table:\n%q\nwant\n%q", got, want)
	}
}
