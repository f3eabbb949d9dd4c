// Package run holds tests that run OCI bundles with the built runsc, on each platform,
// and compare what the container sees with the same bundle under runc. All of it is in
// the package's tests. They need root, runc and a static busybox.
package run
