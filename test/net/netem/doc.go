// Package netem compares how fast netstack and Linux's own stack are over bad paths: with
// loss, with reordering, and through a bottleneck, alone and side by side. The path is
// netstack/link/lossy, since not every kernel has netem(8); its ends are TUN devices in
// network namespaces that the test makes, and on one side netstack as well.
package netem
