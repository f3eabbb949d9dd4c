// Package docker tests runsc below a Docker daemon of its own (package dockerd): most cases are
// scripts that are run with runc and with runsc as the runtime, and both must say the same.
// In others tmux has a person sit at a terminal.
//
// It needs root, what package dockerd needs, busybox-static, tmux, the root file system of
// test/rootfs/build.sh and the packages of test/rootfs/packages.sh.
package docker
