// Package sysctl has the parameters of a stack under the names that
// /proc/sys/net gives them (ip-sysctl in the kernel's documentation), each with
// its range. The code that obeys a parameter holds a pointer to it and reads it
// without a lock; /proc and configuration reach it by name.
package sysctl

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Int is a parameter of one or more integers.
type Int struct {
	// Changed, if not nil, is called after each Set. It is set before anybody can find the
	// parameter.
	Changed func()

	vals     []atomic.Int64
	min, max int64
}

// Get is the first value.
func (i *Int) Get() int { return int(i.vals[0].Load()) }

// Bool is whether the first value is not zero.
func (i *Int) Bool() bool { return i.vals[0].Load() != 0 }

// At is the value with index n, for vectors such as tcp_rmem.
func (i *Int) At(n int) int { return int(i.vals[n].Load()) }

// Set replaces the values; EINVAL if one is out of range or the count is wrong.
func (i *Int) Set(v ...int64) error {
	if len(v) > len(i.vals) || len(v) == 0 {
		return unix.EINVAL
	}
	for _, x := range v {
		if x < i.min || x > i.max {
			return unix.EINVAL
		}
	}
	for n, x := range v {
		i.vals[n].Store(x)
	}
	if i.Changed != nil {
		i.Changed()
	}
	return nil
}

// String is the form that /proc/sys shows, without the newline.
func (i *Int) String() string {
	var b strings.Builder
	for n := range i.vals {
		if n > 0 {
			b.WriteByte('\t')
		}
		b.WriteString(strconv.FormatInt(i.vals[n].Load(), 10))
	}
	return b.String()
}

// Parse sets the values from text as /proc/sys takes it.
func (i *Int) Parse(s string) error {
	var v []int64
	for _, f := range strings.Fields(s) {
		x, err := strconv.ParseInt(f, 0, 64)
		if err != nil {
			return unix.EINVAL
		}
		v = append(v, x)
	}
	return i.Set(v...)
}

// Table is the parameters of a stack by name. The zero Table is ready.
type Table struct {
	mu sync.Mutex
	m  map[string]*Int
	t  map[string]text
}

// text is a parameter that is not made of numbers.
type text struct {
	get func() string
	set func(string) error
}

// Text adds a parameter with what reads and changes it; set nil: it cannot be changed.
func (t *Table) Text(name string, get func() string, set func(string) error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.t == nil {
		t.t = make(map[string]text)
	}
	t.t[name] = text{get, set}
}

// Read is a parameter of any kind as /proc/sys shows it, without the newline; ok is false if
// there is none of the name.
func (t *Table) Read(name string) (value string, ok bool) {
	t.mu.Lock()
	i, x := t.m[name], t.t[name]
	t.mu.Unlock()
	switch {
	case i != nil:
		return i.String(), true
	case x.get != nil:
		return x.get(), true
	}
	return "", false
}

// Write sets a parameter of any kind from text as /proc/sys takes it: ENOENT, EACCES, EINVAL
// and what the parameter itself gives.
func (t *Table) Write(name, value string) error {
	t.mu.Lock()
	i, x := t.m[name], t.t[name]
	t.mu.Unlock()
	switch {
	case i != nil:
		return i.Parse(value)
	case x.get == nil:
		return unix.ENOENT
	case x.set == nil:
		return unix.EACCES
	}
	return x.set(strings.TrimSpace(value))
}

// New adds a parameter with a range and its first values.
func (t *Table) New(name string, min, max int64, v ...int64) *Int {
	i := &Int{vals: make([]atomic.Int64, len(v)), min: min, max: max}
	if err := i.Set(v...); err != nil {
		panic(fmt.Sprintf("sysctl: %s: first value out of range", name))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[string]*Int)
	}
	t.m[name] = i
	return i
}

// Bool adds a parameter that is 0 or 1.
func (t *Table) Bool(name string, v bool) *Int {
	if v {
		return t.New(name, 0, 1, 1)
	}
	return t.New(name, 0, 1, 0)
}

// Lookup finds a parameter of numbers by its dotted name, or nil.
func (t *Table) Lookup(name string) *Int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.m[name]
}

// Names are all names, sorted.
func (t *Table) Names() []string {
	n := t.List("")
	slices.Sort(n)
	return n
}

// List are the names that begin with prefix, in no order.
func (t *Table) List(prefix string) (n []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k := range t.m {
		if strings.HasPrefix(k, prefix) {
			n = append(n, k)
		}
	}
	for k := range t.t {
		if strings.HasPrefix(k, prefix) {
			n = append(n, k)
		}
	}
	return n
}

// Remove removes the parameters whose names begin with prefix. Who holds one of them may
// go on using it.
func (t *Table) Remove(prefix string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name := range t.m {
		if strings.HasPrefix(name, prefix) {
			delete(t.m, name)
		}
	}
}

// Rename gives the parameters whose names begin with old names that begin with new.
func (t *Table) Rename(old, new string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for name, p := range t.m {
		if rest, ok := strings.CutPrefix(name, old); ok {
			delete(t.m, name)
			t.m[new+rest] = p
		}
	}
}
