// Package platformtest is a conformance test for platforms: a tiny sentry that
// runs snippets of machine code and compares what the platform reports with what
// the interface promises. Each platform's own tests call Run.
package platformtest
