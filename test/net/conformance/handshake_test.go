package conformance

import "testing"

func TestHandshakes(t *testing.T) {
	compare(t, handshakes, map[string]string{
		"SYN cookies/IPv6": "Linux has four values of the MSS for cookies over IPv6, here there are eight for both",
	})
}

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

func TestFastOpen(t *testing.T) { compare(t, fastOpen, nil) }

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
