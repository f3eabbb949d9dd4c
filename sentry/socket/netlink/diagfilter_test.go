package netlink

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/sentry/socket/inet"
)

// port is a condition on a port with its two ways.
func port(op, yes, no byte, v uint16) []byte {
	return append([]byte{op, yes, no, 0, 0, 0}, ne.AppendUint16(nil, v)...)
}

// address is a condition on an IPv4 address and any port.
func address(op, yes, no, bits byte, a [4]byte) []byte {
	return append([]byte{op, yes, no, 0, unix.AF_INET, bits, 0, 0, 0xff, 0xff, 0xff, 0xff}, a[:]...)
}

func TestDiagFilter(t *testing.T) {
	var d inet.Diagnosis
	d.Family = unix.AF_INET6
	d.Local = sock.Addr{Addr: netip.MustParseAddr("::ffff:127.0.0.1"), Port: 80}
	d.Remote = sock.Addr{Addr: netip.MustParseAddr("::ffff:10.1.2.3"), Port: 4000}
	both := append(port(filterSportG, 8, 28, 80), address(filterDest, 16, 20, 8, [4]byte{10})...)
	either := append(append(port(filterSportL, 8, 12, 79), filterJump, 4, 12, 0), port(filterDport, 8, 12, 4000)...)
	for name, c := range map[string]struct {
		f    filter
		err  error
		want bool
	}{
		"none":                {nil, nil, true},
		"a port":              {port(filterSport, 8, 12, 80), nil, true},
		"another port":        {port(filterSport, 8, 12, 81), nil, false},
		"not a port":          {port(filterSport, 8, 8, 81), nil, true},
		"port and address":    {both, nil, true},
		"another network":     {address(filterDest, 16, 20, 16, [4]byte{10, 2}), nil, false},
		"either":              {either, nil, true},
		"a mark":              {append([]byte{filterMark, 12, 16, 0}, make([]byte, 8)...), unix.EPERM, false},
		"cut short":           {both[:26], unix.EINVAL, false},
		"into a condition":    {append(port(filterSport, 8, 12, 80), address(filterDest, 16, 20, 8, [4]byte{10})...), unix.EINVAL, false},
		"behind the end":      {port(filterSport, 8, 16, 80), unix.EINVAL, false},
		"on the spot":         {port(filterSport, 0, 12, 80), unix.EINVAL, false},
		"unknown":             {port(99, 8, 12, 80), unix.EINVAL, false},
		"too long a prefix":   {address(filterDest, 16, 20, 33, [4]byte{10}), unix.EINVAL, false},
		"odd":                 {append(port(filterSport, 9, 12, 80), 0, 0, 0, 0), unix.EINVAL, false},
		"no way if not met":   {port(filterSport, 8, 0, 80), unix.EINVAL, false},
		"a way that is taken": {port(filterSportG, 8, 12, 81), nil, false},
	} {
		if err := c.f.check(false); err != c.err {
			t.Errorf("%s: %v, want %v", name, err, c.err)
		} else if err == nil && c.f.chooses(&d) != c.want {
			t.Errorf("%s: chosen %v, want %v", name, !c.want, c.want)
		}
	}
}
