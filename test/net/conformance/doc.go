// Package conformance compares what netstack and Linux's own stack send on the wire. The
// same script of packets and socket calls is played against a Linux socket, behind a TUN
// device in a network namespace of the test's own, and against netstack, and both logs
// must be the same but for the differences that are listed with a reason.
//
// A script is text, a line a step. The peer, which the test plays, has the addresses
// 10.0.0.2 and fd00::2, the host under test 10.0.0.1 and fd00::1. Numbers of sequence
// count from the initial ones. A segment is
//
//	< FLAGS SEQ:LEN ACK [win N] [mss N] [sackok] [ws N] [ts VAL] [sack A-B,C-D] [urg N] ...
//
// and any other line a call of the program with the socket, or `await`, which waits until
// the host sends something by itself. Nothing is compared by time, so a loaded machine
// gives the same verdict.
package conformance
