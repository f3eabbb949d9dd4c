// Package oci tests runsc as engines use it: create, start, exec, kill, delete and what is
// around them (runtime-spec, runtime.md). Where runc does the same, each case is a script that
// is run with both, and both must say the same.
//
// It needs root, runc and busybox-static.
package oci
