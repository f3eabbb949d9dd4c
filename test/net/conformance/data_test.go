package conformance

import "testing"

func TestReceiver(t *testing.T) {
	compare(t, receiver, map[string]string{
		"many gaps":                      "Linux remembers four blocks to report, and forgets that one of them touches an older one",
		"data behind a FIN out of order": "Linux keeps data behind a FIN until the FIN is in order; it is dropped at once",
		"window closes":                  "the window depends on the memory that a small segment takes",
	})
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

func TestSender(t *testing.T) { compare(t, sender, nil) }

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
	{name: "loss that a tail loss probe repairs", sysctl: "net.ipv4.tcp_early_retrans=3", steps: `
		open slow
		send 9000
		< A 1:0 8001
		await
		< A 1:0 9001
		send 25000
		< A 1:0 10001
		< A 1:0 12001
		< A 1:0 14001`},
	{name: "tail loss probe that was needless", sysctl: "net.ipv4.tcp_early_retrans=3", steps: `
		open slow
		send 9000
		< A 1:0 8001
		await
		< A 1:0 9001
		< A 1:0 9001 sack 8001-9001
		send 25000
		< A 1:0 10001
		< A 1:0 12001
		< A 1:0 14001`},
	{name: "tail loss probe that was needless, without DSACK", sysctl: "net.ipv4.tcp_early_retrans=3", steps: `
		open slow
		send 9000
		< A 1:0 8001
		await
		< A 1:0 9001
		< A 1:0 9001
		send 25000
		< A 1:0 10001
		< A 1:0 12001
		< A 1:0 14001`},
	{name: "window in recovery", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 3001-4001,1001-2001
		< A 1:0 1 sack 3001-5001,1001-2001
		< A 1:0 1 sack 3001-10001,1001-2001
		send 15000
		< A 1:0 2001 sack 3001-10001
		< A 1:0 10001
		< A 1:0 11001
		< A 1:0 13001`},
	{name: "window in recovery without SACK", steps: `
		open nosack slow
		send 25000
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 1
		< A 1:0 2001
		< A 1:0 2001
		< A 1:0 10001
		< A 1:0 11001
		< A 1:0 13001`},
	{name: "time-out after a loss", steps: `
		open
		send 1000
		await
		await
		backoff
		< A 1:0 1001
		backoff
		send 1000
		< A 1:0 2001
		backoff`},
	{name: "time-out after a loss, with timestamps", steps: `
		open ts 0
		send 1000
		await
		await
		backoff
		< A 1:0 1001
		backoff`},
	{name: "time-out after a lost SYN-ACK", steps: `
		< S 0:0 0 mss 1000 sackok
		await
		< A 1:0 1
		accept
		rto`},
	{name: "time-out after a lost SYN-ACK, with timestamps", steps: `
		< S 0:0 0 mss 1000 sackok ts 0
		await
		< A 1:0 1
		accept
		rto`},
	{name: "time-out after a lost SYN", steps: `
		connect
		await
		< SA 0:0 1 mss 1000 sackok
		rto`},
	{name: "time-out after a lost SYN, with timestamps", steps: `
		connect
		await
		< SA 0:0 1 mss 1000 sackok ts 0
		rto`},
	{name: "slow start", steps: `
		open
		send 20000
		< A 1:0 1001
		< A 1:0 2001
		< A 1:0 5001
		send 10000
		< A 1:0 5501
		< A 1:0 9001`},
	{name: "time-out with more to send", steps: `
		open slow
		send 15000
		await
		< A 1:0 1001
		< A 1:0 2001
		< A 1:0 4001
		< A 1:0 10001
		< A 1:0 12001`},
	{name: "time-out with more to send, without SACK", steps: `
		open nosack slow
		send 15000
		await
		< A 1:0 1001
		< A 1:0 2001
		< A 1:0 4001
		< A 1:0 10001
		< A 1:0 12001`},
	{name: "time-out that was needless", steps: `
		open slow
		send 15000
		await
		< A 1:0 1001
		< A 1:0 10001
		< A 1:0 10001 sack 1-1001
		< A 1:0 12001`},
	{name: "window after an ECN echo", sysctl: "net.ipv4.tcp_ecn=1", steps: `
		open ecn
		send 25000
		< AE 1:0 1001
		< AE 1:0 2001
		< A 1:0 4001
		< A 1:0 7001
		< A 1:0 10001
		< AE 1:0 11001
		< A 1:0 14001`},
	{name: "fast retransmit that was needless", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 1001-3001
		< A 1:0 1 sack 1001-4001
		< A 1:0 1 sack 1001-10001
		< A 1:0 10001
		< A 1:0 10001 sack 1-1001
		send 20000`},
	{name: "loss of a retransmission", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 1001-3001
		< A 1:0 1 sack 1001-4001
		await
		< A 1:0 10001`},
	{name: "tail loss probe of a FIN", sysctl: "net.ipv4.tcp_early_retrans=3", steps: `
		open slow
		send 3000
		shutdown
		< A 1:0 3001
		await
		< A 1:0 3002`},
	{name: "two time-outs with more to send", steps: `
		open slow
		send 15000
		await
		await
		< A 1:0 1001
		< A 1:0 2001
		< A 1:0 4001`},
	{name: "SACK after a time-out", steps: `
		open slow
		send 15000
		await
		< A 1:0 1001
		< A 1:0 1001 sack 10001-11001
		< A 1:0 1001 sack 10001-12001
		< A 1:0 3001 sack 10001-12001
		< A 1:0 10001 sack 10001-12001
		< A 1:0 12001`},
	{name: "duplicate ACKs after a time-out, without SACK", steps: `
		open nosack slow
		send 15000
		await
		< A 1:0 1001
		< A 1:0 1001
		< A 1:0 1001
		< A 1:0 3001
		< A 1:0 10001
		< A 1:0 12001`},
	{name: "reordering", steps: `
		open slow
		send 10000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 1001-3001
		< A 1:0 3001
		send 15000
		< A 1:0 3001 sack 4001-5001
		< A 1:0 3001 sack 4001-6001
		< A 1:0 6001
		< A 1:0 10001`},
	{name: "window closes before what is in flight", steps: `
		open
		send 2000
		< A 1:0 1 win 0
		await
		< A 1:0 1 win 0
		await
		< A 1:0 1 win 5000
		< A 1:0 2001`},
	{name: "time-out with ECN", sysctl: "net.ipv4.tcp_ecn=1", steps: `
		open ecn slow
		send 5000
		await
		< A 1:0 1001
		< A 1:0 5001
		send 3000`},
	{name: "path MTU shrinks below what is in flight", only: "4", steps: `
		open slow
		send 10000
		icmp 3 4 500 1
		< A 1:0 461
		< A 1:0 3001`},
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

func TestUrgent(t *testing.T) { compare(t, urgent, nil) }

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

func TestSequenceWrap(t *testing.T) { compare(t, wrap, nil) }

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

func TestTimestamps(t *testing.T) { compare(t, timestamps, nil) }

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
