package conformance

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// polled are the events that `poll` asks for.
const polled = unix.POLLIN | unix.POLLOUT | unix.POLLPRI | unix.POLLRDHUP

var (
	sendFlags = map[string]int{"oob": unix.MSG_OOB, "more": unix.MSG_MORE}
	recvFlags = map[string]int{"oob": unix.MSG_OOB, "peek": unix.MSG_PEEK}
)

func errnoOrNil(v int) error {
	if v == 0 {
		return nil
	}
	return unix.Errno(v)
}

// received is the result of a receive call: what came, shortened.
func received(b []byte, err error) string {
	if err != nil {
		return words(err)
	}
	s := string(b)
	if len(s) > 60 {
		s = fmt.Sprintf("%s... sum %#x", s[:40], checksum(b))
	}
	return fmt.Sprintf("%d %q", len(b), s)
}

func checksum(b []byte) (n uint32) {
	for _, c := range b {
		n = n*31 + uint32(c)
	}
	return n
}

// A script is a case. sysctl are parameters set before it, by lines NAME=VALUE.
type script struct {
	name   string
	sysctl string
	steps  string
	only   string // "4" or "6": for that version of IP only
	lax    bool   // ACKs that tell nothing but RCV.NXT are left out, as they may be delayed
}

// attempts is how often a script is played against Linux until the logs are the same: on a
// loaded machine one of its timers may expire in between.
const attempts = 3

// compare plays scripts against both, over IPv4 and IPv6. differences has a reason for
// each script, by its name or its test's, whose logs are not the same.
func compare(t *testing.T, scripts []script, differences map[string]string) {
	if os.Getuid() != 0 {
		t.Skip("needs root to make a network namespace")
	}
	for _, s := range scripts {
		for _, v6 := range []bool{false, true} {
			version := map[bool]string{false: "4", true: "6"}[v6]
			if s.only != "" && s.only != version {
				continue
			}
			name := s.name + "/IPv" + version
			t.Run(name, func(t *testing.T) {
				player := func(h host) *player {
					return &player{t: t, h: h, v6: v6, iss: peerISS, port: hostPort}
				}
				t.Parallel()
				log := func(h host) []string {
					l := player(h).play(s.steps)
					if s.lax {
						l = slices.DeleteFunc(l, pureACK)
					}
					return l
				}
				got := log(newOurs(t, v6, s.sysctl))
				var want []string
				same := false
				for range attempts {
					if want = log(newLinux(t, v6, s.sysctl)); slices.Equal(got, want) {
						same = true
						break
					}
				}
				reason, listed := differences[name]
				if !listed {
					reason, listed = differences[s.name]
				}
				switch {
				case !same && !listed:
					t.Errorf("Linux's lines have a +, ours a -:\n%s", diff(got, want))
				case same && listed:
					t.Errorf("does not differ any more: %s", reason)
				case listed:
					t.Log("differs:", reason)
				}
			})
		}
	}
}

// pureACK reports whether a line is an ACK without data and without news but RCV.NXT.
func pureACK(line string) bool {
	f := strings.Fields(line)
	return len(f) == 4 && f[0] == ">" && f[1] == "A" && strings.HasSuffix(f[2], ":0")
}

// diff shows two logs as one, by their longest common subsequence.
func diff(a, b []string) string {
	common := make([][]int, len(a)+1) // lengths for the ends from i and j on
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if common[i][j] = max(common[i+1][j], common[i][j+1]); a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	var s strings.Builder
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			fmt.Fprintln(&s, " ", a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			fmt.Fprintln(&s, "-", a[i])
			i++
		default:
			fmt.Fprintln(&s, "+", b[j])
			j++
		}
	}
	return s.String()
}
