package conformance

import "testing"

func TestPathMTU(t *testing.T) { compare(t, pathMTU, nil) }

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

func TestCongestion(t *testing.T) { compare(t, congestion, nil) }

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
	{name: "recovery of several segments", steps: `
		open slow
		send 20000
		< A 1:0 1 sack 1001-2001
		< A 1:0 1 sack 3001-4001,1001-2001
		< A 1:0 1 sack 5001-6001,3001-4001,1001-2001
		< A 1:0 1 sack 5001-7001,3001-4001,1001-2001
		< A 1:0 1 sack 5001-8001,3001-4001,1001-2001
		< A 1:0 1 sack 5001-9001,3001-4001,1001-2001
		< A 1:0 1 sack 5001-10001,3001-4001,1001-2001
		< A 1:0 2001 sack 5001-12001,3001-4001
		< A 1:0 4001 sack 5001-12001
		< A 1:0 12001`},
	{name: "ACK division", steps: `
		open
		send 25000
		< A 1:0 101
		< A 1:0 201
		< A 1:0 301
		< A 1:0 1001`},
}
