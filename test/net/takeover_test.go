package net

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/netstack/link/packet"
	"casemate/runsc/netns"
)

// configuration prints what ip shows of a namespace's network, in a form that does not
// depend on time.
const configuration = `for x in addr "route show table main" "-6 route show table main"; do ip -o $x | sed -E 's/ +/ /g; s/eth0@if[0-9]+/eth0/; s/ (pref medium|link-netns [^ ]*|link-netnsid [0-9]+|forever|tentative|nodad)//g' | sort; done; ip neigh show nud permanent`

// TestTakeOver compares what a container sees of its network with what the namespace had
// before.
func TestTakeOver(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		lines(t, strings.ReplaceAll(`
ip -n BOX link set eth0 mtu 1400
ip -n BOX addr add 10.9.1.2/16 brd + dev eth0
ip -n BOX addr add 10.8.0.7/32 dev lo
ip -n BOX route add 10.20.0.0/16 via 10.9.0.9 metric 7
ip -n BOX route add 10.21.0.0/16 via 169.254.1.1 dev eth0 onlink
ip -n BOX route add unreachable 10.22.0.0/16
ip -n BOX -6 route add fd10::/64 via fd09::9
ip -n BOX neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
`, "BOX", p.box))
		// The host has its link-local address once the device has a carrier.
		waitFor(t, func() bool {
			return strings.Contains(run(t, "ip", "-n", p.box, "-6", "addr", "show", "dev", "eth0"), "scope link")
		})
		want := run(t, "ip", "netns", "exec", p.box, "sh", "-c", configuration)
		c := p.start(t, platform, configuration+"; read end; true")
		// The host has none of the addresses as long as the container runs.
		waitFor(t, func() bool {
			return !strings.Contains(run(t, "ip", "-n", p.box, "addr", "show", "dev", "eth0"), "inet")
		})
		if got := c.end(t); sorted(got) != sorted(want) {
			t.Errorf("outside:\n%s\ninside:\n%s", sorted(want), sorted(got))
		}
	})
}

// sorted has the lines in order and without blanks at their ends.
func sorted(text string) string {
	l := strings.Split(text, "\n")
	for i := range l {
		l[i] = strings.TrimSpace(l[i])
	}
	slices.Sort(l)
	return strings.Join(l, "\n")
}

// TestNoIPv6 has a namespace that speaks no IPv6, as Docker's are by default.
func TestNoIPv6(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		run(t, "ip", "netns", "exec", p.box, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
		want := run(t, "ip", "netns", "exec", p.box, "sh", "-c", configuration)
		got := p.start(t, platform, configuration).end(t)
		if sorted(got) != sorted(want) {
			t.Errorf("outside:\n%s\ninside:\n%s", sorted(want), sorted(got))
		}
	})
}

// TestNone has no device but lo.
func TestNone(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		got := p.start(t, platform, "ls /sys/class/net; grep -c : /proc/net/dev; ip -o link | wc -l; ! ping -c1 -W1 10.9.0.1 2>&1", "--network=none").end(t)
		if !strings.Contains(got, "\n1\n") || strings.Contains(got, "eth0") {
			t.Error(got)
		}
		if kept := run(t, "ip", "-n", p.box, "addr", "show", "dev", "eth0"); !strings.Contains(kept, box4) {
			t.Errorf("the host's addresses are gone: %s", kept)
		}
	})
}

// TestClients has the container's programs talk to the peer's.
func TestClients(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		p.serve(t, 5201, "iperf3", "-s")
		p.serve(t, 8080, "python3", "-m", "http.server", "8080", "--bind", "::", "--directory", "/usr/share/common-licenses")
		for _, c := range []struct{ name, script, want string }{
			{"ping", "ping -c3 -i0.1 " + peer4, "3 received"},
			{"ping6", "ping -c3 -i0.1 " + peer6, "3 received"},
			{"big ping", "ping -c2 -i0.1 -s 5000 " + peer4, "2 received"},
			{"big ping6", "ping -c2 -i0.1 -s 5000 " + peer6, "2 received"},
			{"curl", fmt.Sprintf("curl -s http://%s:8080/GPL-2 | cmp - /usr/share/common-licenses/GPL-2 && echo same", peer4), "same"},
			{"curl6", fmt.Sprintf("curl -s http://[%s]:8080/GPL-2 | cmp - /usr/share/common-licenses/GPL-2 && echo same", peer6), "same"},
			{"refused", fmt.Sprintf("curl -s http://%s:9/; echo $?", peer4), "7\n"},
			{"out", "iperf3 -n 200M -c " + peer4, "receiver"},
			{"in", "iperf3 -R -n 200M -c " + peer4, "receiver"},
			{"out6", "iperf3 -n 50M -P4 -c " + peer6, "receiver"},
			{"in6", "iperf3 -R -n 50M -P4 -c " + peer6, "receiver"},
			{"udp", "iperf3 -u -b 50M -t1 -c " + peer4, "receiver"},
			{"tcpdump", "tcpdump -Z root -c1 -lni eth0 'icmp[icmptype] == icmp-echoreply' & until ping -c1 -W1 " + peer4 + " >/dev/null && ! kill -0 $! 2>/dev/null; do :; done; wait",
				"IP " + peer4 + " > " + box4 + ": ICMP echo reply"},
		} {
			t.Run(c.name, func(t *testing.T) {
				if got := p.start(t, platform, c.script).end(t); !strings.Contains(got, c.want) {
					t.Errorf("%q is not in:\n%s", c.want, got)
				}
			})
		}
	})
}

// TestServers has the peer's programs talk to the container's.
func TestServers(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		// A server of iperf3 does not listen for a moment when a test has ended: there is one for each test.
		p.start(t, platform, "iperf3 -s & iperf3 -s -p 5202 & exec python3 -m http.server 8080 --bind :: --directory /usr/share/common-licenses")
		at := func(args ...string) string {
			out, _ := p.atPeer(t.Context(), args...).CombinedOutput()
			return string(out)
		}
		waitFor(t, func() bool { return strings.Contains(at("curl", "-s", "http://"+box4+":8080/"), "GPL-2") })
		for _, c := range []struct{ command, want string }{
			{"ping -c3 -i0.1 " + box4, "3 received"},
			{"ping -c3 -i0.1 " + box6, "3 received"},
			{"ping -c2 -i0.1 -s 5000 " + box6, "2 received"},
			{"curl -s http://" + box4 + ":8080/GPL-2", "GNU GENERAL PUBLIC LICENSE"},
			{"curl -s http://[" + box6 + "]:8080/GPL-2", "GNU GENERAL PUBLIC LICENSE"},
			{"nc -vz -w5 " + box4 + " 8080", "succeeded"},
			{"nc -vz -w5 " + box4 + " 9", "refused"},
			{"iperf3 -n 200M -c " + box4, "receiver"},
			{"iperf3 -R -n 200M -p 5202 -c " + box6, "receiver"},
		} {
			if got := at(strings.Fields(c.command)...); !strings.Contains(got, c.want) {
				t.Errorf("%s: %q is not in:\n%s", c.command, c.want, got)
			}
		}
	})
}

// TestHost has the sandbox use the sockets of the namespace's own stack.
func TestHost(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		p.serve(t, 5201, "iperf3", "-s")
		p.serve(t, 8080, "python3", "-m", "http.server", "8080", "--bind", "::", "--directory", "/usr/share/common-licenses")
		for _, c := range []struct{ name, script, want string }{
			{"curl", fmt.Sprintf("curl -s http://%s:8080/GPL-2 | cmp - /usr/share/common-licenses/GPL-2 && echo same", peer4), "same"},
			{"curl6", fmt.Sprintf("curl -s http://[%s]:8080/GPL-2 | cmp - /usr/share/common-licenses/GPL-2 && echo same", peer6), "same"},
			{"refused", fmt.Sprintf("curl -s http://%s:9/; echo $?", peer4), "7\n"},
			{"out", "iperf3 -n 100M -c " + peer4, "receiver"},
			{"in", "iperf3 -R -n 100M -c " + peer6, "receiver"},
			{"udp", "iperf3 -u -b 50M -t1 -c " + peer4, "receiver"},
			{"server", "python3 -m http.server 8081 --bind 10.9.0.2 2>/dev/null & for i in $(seq 50); do curl -s -o /dev/null http://10.9.0.2:8081/ && exec echo served; sleep 0.1; done", "served"},
			{"interfaces", "python3 -c 'import socket; print([n for _, n in socket.if_nameindex()])'", "['lo', 'eth0']"},
			{"proc", "cat /proc/net/dev /proc/net/route", "eth0\t"},
			{"no change", "ip link set eth0 down || echo refused", "refused"},
		} {
			t.Run(c.name, func(t *testing.T) {
				if got := p.start(t, platform, c.script, "--network=host").end(t); !strings.Contains(got, c.want) {
					t.Errorf("%q is not in:\n%s", c.want, got)
				}
			})
		}
		want := run(t, "ip", "netns", "exec", p.box, "sh", "-c", configuration)
		if got := p.start(t, platform, configuration, "--network=host").end(t); sorted(got) != sorted(want) {
			t.Errorf("outside:\n%s\ninside:\n%s", sorted(want), sorted(got))
		}
	})
}

// TestGiveBack compares what a namespace has before a container and after its end.
func TestGiveBack(t *testing.T) {
	p := newPair(t)
	lines(t, strings.ReplaceAll(`
ip -n BOX addr add 10.9.1.2/16 brd + dev eth0
ip -n BOX route add 10.20.0.0/16 via 10.9.0.9 metric 7
ip -n BOX route add 10.21.0.0/16 via 169.254.1.1 dev eth0 onlink
ip -n BOX -6 route add fd10::/64 via fd09::9
ip -n BOX neigh add 10.9.0.77 lladdr 02:00:00:00:00:77 dev eth0 nud permanent
`, "BOX", p.box))
	show := func() string {
		waitFor(t, func() bool {
			return strings.Contains(run(t, "ip", "-n", p.box, "-6", "addr", "show", "dev", "eth0"), "scope link")
		})
		return sorted(run(t, "ip", "netns", "exec", p.box, "sh", "-c", configuration))
	}
	want := show()
	for range 2 {
		if got := p.start(t, "systrap", "ping -c1 "+peer4+" && ping -c1 "+peer6).end(t); strings.Count(got, "1 received") != 2 {
			t.Error(got)
		}
		if got := show(); got != want {
			t.Errorf("before:\n%s\nafter:\n%s", want, got)
		}
	}
}

// TestSilence counts what the host's own stack in the namespace takes notice of while a container has it.
func TestSilence(t *testing.T) {
	p := newPair(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	leave, err := netns.Enter("/run/netns/" + p.box)
	if err != nil {
		t.Fatal(err)
	}
	fd, err := packet.Silence(1)
	if err := leave(); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("the host cannot silence a device: %v", err)
	}
	unix.Close(fd)
	received := func() string {
		return run(t, "ip", "netns", "exec", p.box, "awk", "/^Ip:/ { print $4 }", "/proc/net/snmp")
	}
	want := received()
	if got := p.start(t, "systrap", "ping -c3 -i0.2 "+peer4).end(t); !strings.Contains(got, "3 received") {
		t.Error(got)
	}
	if got := received(); got != want {
		t.Errorf("IPv4 packets received by the host before: %safter: %s", want, got)
	}
}

// TestTags has a VLAN between two containers, each with an end of a pair of the host's.
func TestTags(t *testing.T) {
	here, err := os.Getwd()
	must(t, err)
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		other := &pair{peer: p.box, box: p.peer, dir: p.dir}
		vlan := func(device, address string) string {
			return "ip link add link " + device + " name v5 type vlan id 5 && ip link set v5 up && ip address add " + address + "/24 dev v5 || exit 1\n"
		}
		server := other.startWith(t, platform, vlan("veth0", "10.5.0.1")+"iperf3 -s -1", admin)
		client := p.startWith(t, platform, "cd "+here+"; . testdata/eventually.sh\n"+vlan("eth0", "10.5.0.2")+`
eventually ping -q -c1 -W1 10.5.0.1 >/dev/null
ping -q -c1 -W9 10.9.0.1 | grep "1 received" || exit 1; ping -q -c1 -W9 -s 4000 10.5.0.1 | grep "1 received" || exit 1
eventually iperf3 -c 10.5.0.1 -n 50M >/dev/null
# What has no tag is not the VLAN's.
ip link del v5; ip address add 10.5.0.2/24 dev eth0; ping -q -c1 -W1 10.5.0.1 | grep "0 received" && echo done`, admin)
		if out := client.end(t); !strings.HasSuffix(out, "done\n") || strings.Contains(out, "never") {
			t.Errorf("the client says: %s", out)
		}
		if out := server.end(t); !strings.Contains(out, "receiver") {
			t.Errorf("the server says: %s", out)
		}
	})
}
