// Package escape runs hostile programs in sandboxes and watches from the host that
// they gain nothing. README.md says what a program is and who the witnesses are.
package escape
