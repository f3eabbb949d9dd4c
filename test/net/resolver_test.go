package net

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// server is a DNS server: it answers questions for names that begin with its third
// argument by its fourth, an address, and passes others to the server that the fifth
// names, if there is one.
const server = `
import socket, sys
host, port, begin, address = sys.argv[1:5]
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((host, int(port)))
while True:
    q, a = s.recvfrom(4096)
    if q[13:13+len(begin)] != begin.encode() and len(sys.argv) > 5:
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        out.settimeout(5)
        out.sendto(q, (sys.argv[5], 53))
        s.sendto(out.recv(4096), a)
        continue
    s.sendto(q[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + q[12:] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address), a)
`

// client asks 127.0.0.11 for a name and prints its address.
const client = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(10)
name = b"".join(bytes([len(l)]) + l.encode() for l in sys.argv[1].split("."))
s.connect(("127.0.0.11", 53))
s.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + name + b"\0\0\1\0\1")
r = s.recv(4096)
assert r[:2] == b"\x12\x34", r
print(sys.argv[1], socket.inet_ntoa(r[-4:]))
`

// TestResolver has a resolver in the container's namespace as Docker has it: a server on
// some port of 127.0.0.11, rules that lead port 53 there, and questions for names that it
// does not know asked from that very namespace.
func TestResolver(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		script := filepath.Join(p.dir, "server.py")
		must(t, os.WriteFile(script, []byte(server), 0o644))
		lines(t, strings.ReplaceAll(`
ip netns exec BOX iptables -t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:40053
ip netns exec BOX iptables -t nat -A POSTROUTING -s 127.0.0.11 -p udp --sport 40053 -j SNAT --to-source :53
`, "BOX", p.box))
		p.serve(t, 0, "python3", script, peer4, "53", "", "192.0.2.1")
		inside := &pair{peer: p.box}
		inside.serve(t, 0, "python3", script, "127.0.0.11", "40053", "web", "192.0.2.2", peer4)
		for _, ns := range []string{p.peer, p.box} {
			waitFor(t, func() bool { return run(t, "ip", "netns", "exec", ns, "ss", "-Hlun") != "" })
		}
		// As under Linux the resolver's socket is the only one that listens.
		got := p.start(t, platform, "for name in web outside.example web; do python3 -c '"+client+"' $name; done; ss -Hlun | awk '{sub(/11:[0-9]+/, \"11:PORT\"); print $4, $5}'").end(t)
		if want := "web 192.0.2.2\noutside.example 192.0.2.1\nweb 192.0.2.2\n127.0.0.11:PORT 0.0.0.0:*\n"; got != want {
			t.Errorf("got\n%s", got)
		}
	})
}
