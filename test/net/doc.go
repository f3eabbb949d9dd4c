// Package net holds tests of the sandbox's network with real peers: the host's stack at
// the other end of a veth, in network namespaces that the tests make. All of it is in
// the package's tests. They need root, and on the host the programs that they use on
// both sides, for the containers run over the host's own root file system.
package net
