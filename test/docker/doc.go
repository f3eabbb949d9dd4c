// Package docker tests runsc below a Docker daemon of its own: each case is a script that is
// run with runc and with runsc as the runtime, and both must say the same.
//
// It needs root and Debian's package docker.io; DOCKER_BIN may name the directories of its
// programs.
package docker
