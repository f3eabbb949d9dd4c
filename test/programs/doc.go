// Package programs runs real programs in a sandbox on each platform and compares what
// they say with what the same programs say in a container of runc. It also breaks
// bundles and kills processes of a sandbox, and checks that nothing is left behind.
// The programs are the executable files in testdata; README.md says how to add one.
// All else is in the package's tests.
package programs
