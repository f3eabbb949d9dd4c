// Package systrap runs application code in stub processes under seccomp.
package systrap
