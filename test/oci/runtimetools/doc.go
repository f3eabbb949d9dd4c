// Package runtimetools names the dependencies of the programs, so that go.mod and go.sum have
// them all.
package runtimetools

import _ "github.com/opencontainers/runtime-tools/validation/util" // what all of them use
