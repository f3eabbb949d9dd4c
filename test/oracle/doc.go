// Package oracle holds system-call cases whose oracle is Linux: each one states what the
// host kernel does, is proved on the host, and must then give the same verdict inside a
// sandbox on every platform. The cases are C programs in cases/; README.md says how to
// add one. All else is in the package's tests.
package oracle
