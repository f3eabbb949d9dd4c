package conformance

import "testing"

func TestHandshakes(t *testing.T) {
	compare(t, handshakes, map[string]string{
		"SYN cookies/IPv6": "Linux has four values of the MSS for cookies over IPv6, here there are eight for both",
	})
}
func TestReceiver(t *testing.T) {
	compare(t, receiver, map[string]string{
		"many gaps":                      "Linux remembers four blocks to report, and forgets that one of them touches an older one",
		"data behind a FIN out of order": "Linux keeps data behind a FIN until the FIN is in order; it is dropped at once",
		"window closes":                  "the window depends on the memory that a small segment takes",
	})
}
func TestSender(t *testing.T)       { compare(t, sender, nil) }
func TestEnds(t *testing.T)         { compare(t, ends, nil) }
func TestOutOfWindow(t *testing.T)  { compare(t, outOfWindow, nil) }
func TestPathMTU(t *testing.T)      { compare(t, pathMTU, nil) }
func TestUrgent(t *testing.T)       { compare(t, urgent, nil) }
func TestTimestamps(t *testing.T)   { compare(t, timestamps, nil) }
func TestCongestion(t *testing.T)   { compare(t, congestion, nil) }
func TestFastOpen(t *testing.T)     { compare(t, fastOpen, nil) }
func TestSequenceWrap(t *testing.T) { compare(t, wrap, nil) }

// handshakes are of opening a connection.
var handshakes = []script{
	{name: "SYN to a closed port", steps: `
		close-listener
		< S 0:0 0
		< SA 5:0 7
		< A 5:0 7
		< FA 5:3 7
		< R 5:0 0`},
	{name: "no SYN to a listener", steps: `
		< A 0:0 77
		< R 0:0 0
		< F 0:0 0
		< - 0:0 0
		< RA 0:0 7
		< SA 0:0 7`},
	{name: "options", steps: `
		< S 0:0 0 mss 1400 sackok ws 3 ts 0
		< A 1:0 1
		accept
		mss`},
	{name: "no options", steps: `
		< S 0:0 0
		< A 1:0 1
		accept
		mss`},
	{name: "malformed options", steps: `
		< S 0:0 0 sackok badopt
		< A 1:0 1
		accept
		mss`},
	{name: "tiny MSS", steps: `
		< S 0:0 0 mss 1 sackok
		< A 1:0 1
		accept
		mss
		send 100
		< A 1:0 101`},
	{name: "small MSS", steps: `
		< S 0:0 0 mss 100 sackok ts 0
		< A 1:0 1
		accept
		mss
		send 350
		< A 1:0 351`},
	{name: "large window scale", steps: `
		< S 0:0 0 mss 1000 ws 20
		< A 1:0 1 win 1
		accept
		send 5000
		< A 1:0 5001 win 1`},
	{name: "SYN twice", steps: `
		< S 0:0 0 mss 1000
		< S 0:0 0 mss 1000
		< A 1:0 1
		accept`},
	{name: "another SYN in SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< S 100:0 0 mss 1000
		< A 1:0 1
		accept`},
	{name: "SYN-ACK again", steps: `
		< S 0:0 0 mss 1000
		await
		< A 1:0 1
		accept`},
	{name: "bad ACK to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< A 1:0 100
		< A 1:0 0
		< A 1:0 1
		accept`},
	{name: "RST to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< R 1:0 0
		< A 1:0 1`},
	{name: "RST inside the window to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< R 10:0 0
		< A 1:0 1
		accept`},
	{name: "RST outside the window to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< R 100000:0 0
		< A 1:0 1
		accept`},
	{name: "SYN-ACK to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< SA 0:0 1
		< A 1:0 1
		accept`},
	{name: "FIN to SYN-RECEIVED", lax: true, steps: `
		< S 0:0 0 mss 1000
		< FA 1:0 1
		accept
		poll
		recv`},
	{name: "data with the third segment", steps: `
		< S 0:0 0 mss 1000
		< PA 1:5 1
		accept
		recv`},
	{name: "data before the third segment", steps: `
		< S 0:0 0 mss 1000
		< PA 6:5 1
		accept
		recv
		< PA 1:5 1
		recv`},
	{name: "data without ACK to SYN-RECEIVED", steps: `
		< S 0:0 0 mss 1000
		< P 1:5 0
		< A 1:0 1
		accept
		recv`},
	{name: "SYN with data", steps: `
		< S 0:5 0 mss 1000
		< A 1:5 1
		accept
		recv`},
	{name: "SYN and FIN", steps: `
		< SF 0:0 0`},
	{name: "SYN and RST", steps: `
		< SR 0:0 0
		< SRA 0:0 9`},
	{name: "SYN with URG and PSH", steps: `
		< SPU 0:0 0 mss 1000 urg 5
		< A 1:0 1
		accept`},
	{name: "wrong checksum", steps: `
		< S 0:0 0 mss 1000 badsum
		< S 0:0 0 mss 1000
		< A 1:0 1
		accept
		< PA 1:5 1 badsum
		recv
		< PA 1:5 1
		recv`},
	{name: "deferred accept", steps: `
		defer 5
		< S 0:0 0 mss 1000
		< A 1:0 1
		accept
		< PA 1:5 1
		accept
		recv`},
	{name: "backlog", steps: `
		backlog 0
		< S 0:0 0 mss 1000
		< A 1:0 1
		accept
		state`},
	{name: "SYN cookies", sysctl: "net.ipv4.tcp_syncookies=2", steps: `
		< S 0:0 0 mss 1400 sackok ws 3 ts 0
		< A 1:0 1
		accept
		mss
		< PA 1:3 1 ts 1
		recv`},
	{name: "wrong SYN cookie", sysctl: "net.ipv4.tcp_syncookies=2", steps: `
		< S 0:0 0 mss 1400
		< A 1:0 4711
		< A 70000:0 1`},
	{name: "active", steps: `
		connect
		< SA 0:0 1 mss 1000 sackok
		poll
		error
		send 10
		< A 1:0 11`},
	{name: "active, refused", steps: `
		connect
		< RA 0:0 1
		poll
		error`},
	{name: "active, RST without ACK", steps: `
		connect
		< R 0:0 0
		poll
		< SA 0:0 1 mss 1000
		poll`},
	{name: "active, wrong ACK", steps: `
		connect
		< SA 0:0 7 mss 1000
		< A 0:0 7
		< RA 0:0 7
		< A 1:0 1
		poll
		< SA 0:0 1 mss 1000
		poll`},
	{name: "active, SYN-ACK twice", steps: `
		connect
		< SA 0:0 1 mss 1000
		< SA 0:0 1 mss 1000
		poll`},
	{name: "active, SYN-ACK with data", steps: `
		connect
		< SA 0:5 1 mss 1000
		recv`},
	{name: "active, SYN-ACK with FIN", steps: `
		connect
		< SFA 0:0 1 mss 1000
		poll
		recv`},
	{name: "active, SYN again", steps: `
		connect
		await
		< SA 0:0 1 mss 1000
		poll`},
	{name: "simultaneous open", steps: `
		connect
		< S 0:0 0 mss 1000 sackok
		poll
		< SA 0:0 1 mss 1000 sackok
		poll
		state
		< PA 1:5 1
		recv`},
	{name: "simultaneous open, ACK", steps: `
		connect
		< S 0:0 0 mss 1000 sackok
		< A 1:0 1
		poll
		state`},
	{name: "simultaneous open, RST", steps: `
		connect
		< S 0:0 0 mss 1000
		< R 1:0 0
		poll
		error`},
	{name: "active, unreachable host", steps: `
		connect
		icmp 3 1 0 0
		poll
		error`, only: "4"},
	{name: "active, unreachable port", steps: `
		connect
		icmp 3 3 0 0
		poll
		error`, only: "4"},
	{name: "active, administratively prohibited", steps: `
		connect
		icmp 1 1 0 0
		poll
		error`, only: "6"},
	{name: "active, error about another segment", steps: `
		connect
		icmp 3 3 0 100
		poll
		< SA 0:0 1 mss 1000
		poll`, only: "4"},
	{name: "ECN", steps: `
		open ecn
		< PA 1:5 1 ect
		< PA 6:5 1 ce
		< PA 11:5 1 ect
		< PAC 16:5 1 ect
		send 10
		< AE 21:0 11
		send 10`},
	{name: "ECN asked for", sysctl: "net.ipv4.tcp_ecn=1", steps: `
		connect
		< SAE 0:0 1 mss 1000 sackok
		send 1000
		< AE 1:0 1001
		send 10
		send 10`},
	{name: "ECN refused", sysctl: "net.ipv4.tcp_ecn=1", steps: `
		connect
		< SA 0:0 1 mss 1000 sackok
		send 1000
		< AE 1:0 1001
		send 10`},
}

// receiver are of the acknowledgement of what comes.
var receiver = []script{
	{name: "in order", steps: `
		open
		< PA 1:5 1
		< PA 6:5 1
		available
		recv`},
	{name: "out of order", steps: `
		open
		< PA 4:3 1
		< PA 10:3 1
		< PA 7:3 1
		available
		< PA 1:3 1
		recv`},
	{name: "out of order without SACK", steps: `
		open nosack
		< PA 4:3 1
		< PA 10:3 1
		< PA 7:3 1
		< PA 1:3 1
		recv`},
	{name: "many gaps", steps: `
		open
		< A 11:1 1
		< A 21:1 1
		< A 31:1 1
		< A 41:1 1
		< A 51:1 1
		< A 22:1 1
		< A 12:9 1
		< A 1:10 1
		recv`},
	{name: "many gaps with timestamps", steps: `
		open ts 0
		< A 11:1 1
		< A 21:1 1
		< A 31:1 1
		< A 41:1 1
		< A 51:1 1
		< A 22:1 1`},
	{name: "overlap", steps: `
		open
		< A 4:3 1
		< A 5:6 1
		< A 1:8 1
		recv`},
	{name: "overlap with other data", steps: `
		open
		< A 4:3 1
		< A 3:6 1 other
		< A 1:9 1 other
		recv`},
	{name: "overlap around", steps: `
		open
		< A 5:2 1
		< A 3:8 1 other
		< A 1:2 1
		recv`},
	{name: "overlap with what was read", steps: `
		open
		< A 1:5 1
		recv
		< A 3:5 1 other
		recv`},
	{name: "duplicate", steps: `
		open
		< A 1:3 1
		< A 1:3 1
		< A 2:4 1
		< A 1:5 1
		recv`},
	{name: "duplicate out of order", steps: `
		open
		< A 10:5 1
		< A 10:5 1
		< A 11:2 1
		< A 8:10 1`},
	{name: "duplicate without SACK", steps: `
		open nosack
		< A 1:3 1
		< A 1:3 1
		recv`},
	{name: "FIN out of order", steps: `
		open
		< FA 4:3 1
		< A 1:3 1
		recv
		poll`},
	{name: "FIN alone out of order", steps: `
		open
		< FA 4:0 1
		< A 1:3 1
		recv
		poll`},
	{name: "data behind a FIN out of order", steps: `
		open
		< FA 4:3 1
		< A 7:3 1
		< A 1:3 1
		recv
		poll`},
	{name: "no ACK flag", steps: `
		open
		< P 1:5 0
		poll
		< PA 1:5 1
		recv`},
	{name: "no flags", steps: `
		open
		< - 1:5 0
		poll`},
	{name: "full segments", lax: true, steps: `
		open
		quickack 0
		< A 1:1000 1
		< A 1001:1000 1
		< A 2001:1000 1
		< A 3001:1000 1`},
	{name: "delayed ACK", steps: `
		open
		quickack 0
		< A 1:100 1
		await`},
	{name: "ACK rides on data", lax: true, steps: `
		open
		quickack 0
		< A 1:100 1
		recv
		send 10
		< A 101:100 11
		recv
		send 10`},
	{name: "push", steps: `
		open
		< PA 1:5 1
		recv peek
		recv
		recv`},
	{name: "window closes", steps: `
		rcvbuf-listener 4000
		open mss 500
		< A 1:500 1
		< A 501:500 1
		< A 1001:500 1
		< A 1501:500 1
		< A 2001:500 1
		< A 2501:500 1
		< A 3001:500 1
		< A 3501:500 1`},
}

// sender are of what is sent when.
var sender = []script{
	{name: "Nagle", steps: `
		open
		send 1
		send 1
		send 1
		unacked
		< A 1:0 2`},
	{name: "Nagle with full segments", steps: `
		open
		send 1500
		send 500
		send 1
		< A 1:0 1001
		< A 1:0 1501`},
	{name: "no delay", steps: `
		open
		nodelay
		send 1
		send 1`},
	{name: "cork", steps: `
		open
		cork 1
		send 500
		send 700
		cork 0
		< A 1:0 1201`},
	{name: "more", steps: `
		open
		send 500 more
		send 100 more
		send 100`},
	{name: "cork is bounded", steps: `
		open
		cork 1
		send 10
		await`},
	{name: "segments", steps: `
		open
		send 3500
		< A 1:0 3501`},
	{name: "initial window", steps: `
		open mss 100
		send 2000
		< A 1:0 1001`},
	{name: "small window", steps: `
		open
		< A 1:0 1 win 1500
		send 3500
		< A 1:0 1501 win 500
		< A 1:0 2001 win 5000`},
	{name: "zero window", steps: `
		open
		< A 1:0 1 win 0
		send 100
		await
		< A 1:0 1 win 0
		await
		< A 1:0 1 win 50
		< A 1:0 51 win 1000`},
	{name: "window shrinks", steps: `
		open
		send 2000
		< A 1:0 1 win 500
		await
		< A 1:0 1001 win 0
		await
		< A 1:0 2001 win 1000`},
	{name: "window below what is in flight", steps: `
		open
		send 3000
		< A 1:0 1001 win 100
		send 1000
		< A 1:0 3001 win 3000`},
	{name: "silly window", steps: `
		open
		< A 1:0 1 win 0
		send 1000
		< A 1:0 1 win 10
		< A 1:0 11 win 10
		await`},
	{name: "window of a segment from before", steps: `
		open
		< PA 1:5 1 win 1000
		< A 1:0 1 win 10
		send 800`},
	{name: "ACK of what was not sent", steps: `
		open
		< A 1:5 1000
		poll
		send 10
		< A 1:0 12
		< A 1:0 11
		unacked`},
	{name: "ACK from long ago", steps: `
		open
		send 10
		< A 1:0 11
		< PA 1:5 -100000
		recv
		< PA 1:5 -10
		recv`},
	{name: "ACK of a part of a segment", steps: `
		open
		send 1000
		< A 1:0 301
		unacked
		await`},
	{name: "retransmission", steps: `
		open
		send 2500
		await
		< A 1:0 1001
		< A 1:0 2501`},
	{name: "fast retransmit", steps: `
		open nosack
		send 6000
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 6001`},
	{name: "fast retransmit with SACK", steps: `
		open slow
		send 6000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 1001-3001
		< A 1:0 1 sack 1001-4001
		< A 1:0 1 sack 1001-6001
		< A 1:0 6001`},
	{name: "two losses with SACK", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 3001-4001,1001-2001
		< A 1:0 1 sack 3001-5001,1001-2001
		< A 1:0 1 sack 3001-10001,1001-2001
		< A 1:0 2001 sack 3001-10001
		< A 1:0 10001`},
	{name: "NewReno partial ACK", steps: `
		open nosack
		send 8000
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 3001
		< A 1:0 8001`},
	{name: "SACK reneging", steps: `
		open slow
		send 4000
		< A 1:0 1 sack 1001-4001
		await
		< A 1:0 1001
		await
		< A 1:0 4001`},
	{name: "SACK of what was not sent", steps: `
		open slow
		send 2000
		< A 1:0 1 sack 5001-6001
		< A 1:0 1 sack 1001-3001
		< A 1:0 1 sack 2001-1001
		await
		< A 1:0 2001`},
	{name: "SACK below the ACK", steps: `
		open
		send 3000
		< A 1:0 2001 sack 1-1001
		< A 1:0 3001`},
	{name: "DSACK", steps: `
		open
		send 1000
		await
		< A 1:0 1001 sack 1-1001
		send 1000
		< A 1:0 2001`},
	{name: "tail loss probe", sysctl: "net.ipv4.tcp_early_retrans=3", steps: `
		open
		send 10
		< A 1:0 11
		send 3000
		await
		< A 1:0 3011`},
	{name: "keep-alive", steps: `
		open
		keepalive
		await
		< A 1:0 1
		await
		await
		await
		poll
		error`},
	{name: "user time-out", steps: `
		open
		usertimeout 300
		send 10
		await
		state`},
	{name: "answer to a probe of ours", steps: `
		open
		< A 0:0 1
		< A 0:1 1
		poll`},
}

// ends are of closing.
var ends = []script{
	{name: "close", steps: `
		open
		close
		< A 1:0 2
		< FA 1:0 2
		< FA 1:0 2`},
	{name: "close with data", steps: `
		open
		send 100
		close
		< A 1:0 102
		< FA 1:0 102`},
	{name: "FIN again", steps: `
		open
		close
		await
		< A 1:0 2`},
	{name: "peer closes", lax: true, steps: `
		open
		< FA 1:0 1
		poll
		recv
		send 1
		< A 2:0 2
		close
		< A 2:0 3
		< A 2:0 3`},
	{name: "peer closes with data", lax: true, steps: `
		open
		< FA 1:5 1
		poll
		recv
		recv
		close
		< A 7:0 2`},
	{name: "simultaneous close", steps: `
		open
		shutdown
		< FA 1:0 1
		< A 2:0 2
		poll
		recv
		close`},
	{name: "simultaneous close, both in one", steps: `
		open
		shutdown
		< FA 1:0 2
		poll
		close
		< FA 1:0 2`},
	{name: "half-close", lax: true, steps: `
		open
		shutdown
		< A 1:0 2
		< PA 1:3 2
		poll
		recv
		send 1
		< FA 4:0 2
		poll
		state`},
	{name: "unread data", steps: `
		open
		< PA 1:3 1
		close
		< A 4:0 1`},
	{name: "linger with time zero", steps: `
		open
		linger0
		close
		< A 1:0 1`},
	{name: "data after close", steps: `
		open
		close
		< A 1:3 2
		< A 4:3 2`},
	{name: "data after FIN-WAIT-2", steps: `
		open
		close
		< A 1:0 2
		< PA 1:3 2`},
	{name: "reset", steps: `
		open
		< PA 1:3 1
		< R 4:0 0
		poll
		recv
		recv
		recv
		send 1`},
	{name: "reset in CLOSE-WAIT", lax: true, steps: `
		open
		< FA 1:0 1
		< R 2:0 0
		poll
		send 1
		recv`},
	{name: "reset with data", steps: `
		open
		< RA 1:5 1
		poll
		recv
		recv`},
	{name: "reset in FIN-WAIT", steps: `
		open
		close
		< R 1:0 0
		< A 1:0 2`},
	{name: "segment to TIME-WAIT", steps: `
		open
		close
		< FA 1:0 2
		< A 2:0 2
		< A 2:4 2
		< A 1:0 2
		< A 2:0 1`},
	{name: "RST to TIME-WAIT", steps: `
		open
		close
		< FA 1:0 2
		< R 2:0 0
		< A 2:0 2`},
	{name: "RST out of window to TIME-WAIT", steps: `
		open
		close
		< FA 1:0 2
		< R 50:0 0
		< A 2:1 2`},
	{name: "SYN to TIME-WAIT", steps: `
		open
		close
		< FA 1:0 2
		< S 5000:0 0 mss 1000`},
	{name: "old SYN to TIME-WAIT", steps: `
		open
		close
		< FA 1:0 2
		< S 1:0 0 mss 1000`},
	{name: "FIN behind a gap after close", steps: `
		open
		close
		< A 1:0 2
		< FA 4:0 2
		< R 1:0 0`},
	{name: "error about data", steps: `
		open
		send 10
		icmp 3 1 0 1
		poll
		error
		< A 1:0 11`, only: "4"},
	{name: "error about data, asked for", steps: `
		open
		recverr
		send 10
		icmp 3 1 0 1
		poll
		error
		< A 1:0 11`, only: "4"},
}

// outOfWindow are of RFC 5961.
var outOfWindow = []script{
	{name: "data beyond the window", steps: `
		open
		< PA 200000:1 1
		< PA -70000:1 1
		poll`},
	{name: "SYN in the window", steps: `
		open
		< S 500:0 0
		< SA 500:0 1
		poll`},
	{name: "SYN out of the window", steps: `
		open
		< S -5000:0 0
		< S 900000:0 0
		poll`},
	{name: "the first SYN again", steps: `
		open
		< S 0:0 0 mss 1000 sackok
		poll`},
	{name: "RST in the window", steps: `
		open
		< R 100:0 0
		< RA 100:0 1
		poll
		< R 1:0 0
		poll
		error`},
	{name: "RST out of the window", steps: `
		open
		< R 900000:0 0
		< R -1:0 0
		poll`},
	{name: "RST behind a gap", steps: `
		open
		< PA 11:5 1
		< R 16:0 0
		poll
		error`},
	{name: "FIN beyond the window", steps: `
		open
		< FA 900000:0 1
		poll`},
	{name: "RST with a wrong ACK", steps: `
		open
		< RA 1:0 5000
		poll
		error`},
}

// pathMTU are of ICMP errors that tell of a smaller path.
var pathMTU = []script{
	{name: "fragmentation needed", steps: `
		open mss 1400
		send 2800
		icmp 3 4 1000 1
		mss
		< A 1:0 2801
		send 1400`, only: "4"},
	{name: "fragmentation needed, small", steps: `
		open mss 1400
		send 2800
		icmp 3 4 300 1
		mss`, only: "4"},
	{name: "fragmentation needed, larger", steps: `
		open mss 1000
		send 2000
		icmp 3 4 1400 1
		mss`, only: "4"},
	{name: "fragmentation needed, old segment", steps: `
		open mss 1400
		send 1400
		< A 1:0 1401
		icmp 3 4 1000 1
		mss`, only: "4"},
	{name: "packet too big", steps: `
		open mss 1400
		send 2800
		icmp 2 0 1300 1
		mss
		< A 1:0 2801
		send 1400`, only: "6"},
	{name: "packet too big, below the minimum", steps: `
		open mss 1400
		send 2800
		icmp 2 0 600 1
		mss`, only: "6"},
}

// urgent are of urgent data.
var urgent = []script{
	{name: "in the segment", steps: `
		open
		< AU 1:3 1 urg 3
		poll
		recv
		recv oob
		recv oob
		< A 4:3 1
		recv`},
	{name: "in the middle", steps: `
		open
		< AU 1:5 1 urg 3
		recv
		poll
		recv oob
		recv
		poll`},
	{name: "announced", steps: `
		open
		< AU 1:2 1 urg 5
		poll
		recv oob
		recv
		< A 3:4 1
		recv oob
		recv
		recv`},
	{name: "inline", steps: `
		open
		oobinline
		< AU 1:5 1 urg 3
		recv
		recv
		recv oob`},
	{name: "twice", steps: `
		open
		< AU 1:3 1 urg 2
		< AU 4:3 1 urg 2
		recv
		recv oob
		recv`},
	{name: "pointer of zero", steps: `
		open
		< AU 1:3 1 urg 0
		poll
		recv
		recv oob`},
	{name: "sent", steps: `
		open
		send 3 oob
		send 3
		< A 1:0 4
		send 1 oob`},
}

// timestamps are of RFC 7323.
var timestamps = []script{
	{name: "echo", steps: `
		open ts 0
		< PA 1:3 1 ts 5
		< PA 7:3 1 ts 7
		< PA 4:3 1 ts 6
		< PA 10:3 1 ts 8
		send 3`},
	{name: "PAWS", steps: `
		open ts 100
		< PA 1:3 1 ts 50
		recv
		< PA 1:3 1 ts 101
		recv
		< A 4:0 1 ts 99
		< R 4:0 0 ts 50
		poll`},
	{name: "missing", steps: `
		open ts 0
		< PA 1:3 1 nots
		recv`},
	{name: "not negotiated", steps: `
		open
		< PA 1:3 1 ts 5
		recv`},
	{name: "TIME-WAIT", steps: `
		open ts 0
		close
		< FA 1:0 2 ts 1
		< A 2:4 2 ts 0
		< A 2:4 2 ts 3
		< S 1:0 0 mss 1000 ts 2`},
}

// congestion are of what is sent in and after recovery.
var congestion = []script{
	{name: "slow start", steps: `
		open
		send 25000
		< A 1:0 2001
		< A 1:0 4001
		< A 1:0 10001`},
	{name: "after a time-out", steps: `
		open
		send 5000
		await
		await
		< A 1:0 1001
		< A 1:0 2001
		< A 1:0 5001
		send 5000`},
	{name: "recovery", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 1001-3001
		< A 1:0 1 sack 1001-4001
		< A 1:0 1 sack 1001-5001
		< A 1:0 1 sack 1001-6001
		< A 1:0 1 sack 1001-7001
		< A 1:0 1 sack 1001-8001
		< A 1:0 1 sack 1001-9001
		< A 1:0 1 sack 1001-10001
		send 2000
		< A 1:0 10001
		< A 1:0 12001`},
	{name: "ACK division", steps: `
		open
		send 25000
		< A 1:0 101
		< A 1:0 201
		< A 1:0 301
		< A 1:0 1001`},
}

// fastOpen are of RFC 7413.
var fastOpen = []script{
	{name: "cookie", sysctl: "net.ipv4.tcp_fastopen=3", steps: `
		fastopen 5
		< S 0:0 0 mss 1000 fastopen
		< A 1:0 1
		accept`},
	{name: "not switched on", steps: `
		< S 0:0 0 mss 1000 fastopen
		< A 1:0 1
		accept`},
	{name: "no cookie needed", sysctl: "net.ipv4.tcp_fastopen=0x203", steps: `
		fastopen 5
		< S 0:5 0 mss 1000
		accept
		recv
		send 10
		< A 6:0 11
		state`},
	{name: "no cookie needed, reset", sysctl: "net.ipv4.tcp_fastopen=0x203", steps: `
		fastopen 5
		< S 0:5 0 mss 1000
		accept
		< R 6:0 0
		poll
		recv
		recv`},
	{name: "no cookie needed, closed at once", sysctl: "net.ipv4.tcp_fastopen=0x203", steps: `
		fastopen 5
		< S 0:5 0 mss 1000
		accept
		recv
		send 3
		close
		< A 6:0 5
		< FA 6:0 5`},
}

// wrap are of sequence numbers that wrap around.
var wrap = []script{
	{name: "in order", steps: `
		iss 4294967290
		open
		< PA 1:10 1
		< PA 11:10 1
		recv`},
	{name: "out of order", steps: `
		iss 4294967290
		open
		< PA 8:3 1
		< PA 4:2 1
		< PA 1:3 1
		< PA 6:2 1
		recv`},
	{name: "duplicate", steps: `
		iss 4294967290
		open
		< PA 1:10 1
		< PA 3:10 1
		recv`},
	{name: "reset", steps: `
		iss 4294967292
		open
		< PA 1:3 1
		< R 4:0 0
		poll`},
	{name: "FIN", lax: true, steps: `
		iss 4294967291
		open
		< FA 1:3 1
		recv
		close
		< A 5:0 2`},
	{name: "out of window", steps: `
		iss 4294967291
		open
		< PA -5:3 1
		< PA 100000:3 1
		poll`},
}
