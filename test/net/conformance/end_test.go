package conformance

import "testing"

func TestEnds(t *testing.T) { compare(t, ends, nil) }

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

func TestOutOfWindow(t *testing.T) { compare(t, outOfWindow, nil) }

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
