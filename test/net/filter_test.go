package net

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"casemate/test/bundle"
)

// admin is what the container may do besides that has rules of its own.
var admin = append([]string{"CAP_NET_ADMIN", "CAP_SYS_ADMIN"}, bundle.Capabilities...)

// sameAsLinux runs a script, in the directory of this test, in a network namespace of the
// host and in a container, and compares what it prints.
func sameAsLinux(t *testing.T, script string) {
	t.Helper()
	here, err := os.Getwd()
	must(t, err)
	want, err := exec.CommandContext(t.Context(), "unshare", "-n", "sh", "-c", "cd "+here+"; ip link set lo up; "+script).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, want)
	}
	sameInside(t, string(want), script)
}

// sameInside runs a script, in the directory of this test, in a container on each platform and compares what it
// prints.
func sameInside(t *testing.T, want, script string) {
	t.Helper()
	here, err := os.Getwd()
	must(t, err)
	script = "cd " + here + "; ip link set lo up; " + script
	for _, platform := range platforms {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			p := &pair{dir: t.TempDir()}
			got := p.startWith(t, platform, script, admin).end(t)
			if d := differences(t, want, got); d != "" {
				t.Errorf("a container (+) differs from Linux (-):\n%s", d)
			}
		})
	}
}

// differences is what diff says.
func differences(t *testing.T, want, got string) string {
	t.Helper()
	if want == got {
		return ""
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"host": want, "container": got} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644))
	}
	out, _ := exec.Command("diff", "-U2", filepath.Join(dir, "host"), filepath.Join(dir, "container")).Output()
	return string(out)
}

// TestRules compares what programs say of rules.
func TestRules(t *testing.T) {
	for _, name := range []string{"nft", "iptables"} {
		t.Run(name, func(t *testing.T) { sameAsLinux(t, "sh testdata/"+name+".sh") })
	}
}

// TestFiltered compares what becomes of packets.
func TestFiltered(t *testing.T) {
	sameAsLinux(t, "python3 -u testdata/traffic.py < testdata/traffic.txt")
}

// TestLogTarget looks for what LOG writes.
func TestLogTarget(t *testing.T) {
	p := &pair{dir: t.TempDir()}
	got := p.startWith(t, "systrap", `iptables -A OUTPUT -p udp --dport 53 -j LOG --log-prefix "asked: " --log-uid; nc -u -w1 127.0.0.1 53 </dev/null; echo x | nc -u -w1 127.0.0.1 53; dmesg`, admin).end(t)
	for _, want := range []string{"asked: IN= OUT=lo SRC=127.0.0.1 DST=127.0.0.1 LEN=30 TOS=0x00 PREC=0x00 TTL=64", "PROTO=UDP SPT=", "DPT=53 LEN=10 UID=0 GID=0"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}

// TestRouter has a container forward between two networks, with rules: the peer is on one
// side, another namespace on the other.
func TestRouter(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		far := "far-" + strings.TrimPrefix(p.peer, "peer-")
		t.Cleanup(func() { exec.Command("ip", "netns", "del", far).Run() })
		lines(t, strings.NewReplacer("PEER", p.peer, "BOX", p.box, "FAR", far).Replace(`
ip netns add FAR
ip -n FAR link add veth0 type veth peer name eth1 netns BOX
ip -n FAR link set lo up
ip -n FAR addr add 10.10.0.1/24 dev veth0
ip -n FAR addr add fd10::1/64 dev veth0 nodad
ip -n FAR link set veth0 up
ip -n BOX addr add 10.10.0.2/24 dev eth1
ip -n BOX addr add fd10::2/64 dev eth1 nodad
ip -n BOX link set eth1 up
ip -n PEER route add 10.10.0.0/24 via 10.9.0.2
ip -n PEER route add fd10::/64 via fd09::2
`))
		script := `
echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
iptables -t nat -A POSTROUTING -o eth1 -j MASQUERADE
iptables -t nat -A PREROUTING -i eth0 -p tcp --dport 8080 -j DNAT --to-destination 10.10.0.1:80
iptables -t nat -A PREROUTING -i eth0 -p udp --dport 8080 -j DNAT --to-destination 10.10.0.1:9
iptables -P FORWARD DROP
iptables -A FORWARD -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -A FORWARD -i eth0 -o eth1 -p icmp -j ACCEPT
iptables -A FORWARD -i eth0 -o eth1 -m conntrack --ctstate DNAT -j ACCEPT
iptables -A FORWARD -p tcp --dport 81 -j REJECT --reject-with tcp-reset
iptables -A FORWARD -j REJECT --reject-with icmp-admin-prohibited
ip6tables -t nat -A POSTROUTING -o eth1 -j MASQUERADE
ip6tables -t nat -A PREROUTING -p tcp --dport 8080 -j DNAT --to-destination [fd10::1]:80
exec sleep 1000`
		p.startWith(t, platform, script, admin)
		in := func(ns string, args ...string) string {
			out, _ := exec.CommandContext(t.Context(), "ip", append([]string{"netns", "exec", ns}, args...)...).CombinedOutput()
			return string(out)
		}
		server := exec.CommandContext(t.Context(), "ip", "netns", "exec", far, "python3", "-c", whoami)
		must(t, server.Start())
		t.Cleanup(func() {
			server.Process.Kill()
			server.Wait()
		})
		waitFor(t, func() bool {
			return strings.Contains(in(p.peer, "curl", "-s", "--max-time", "5", "http://[fd09::2]:8080/"), "fd10::2")
		})
		for _, c := range []struct{ command, want string }{
			{"curl -s --max-time 10 http://10.9.0.2:8080/", "you are 10.10.0.2"},
			{"curl -s --max-time 10 http://[fd09::2]:8080/", "you are fd10::2"},
			{"ping -c2 -i0.1 10.10.0.1", "2 received"},
			{"ping -c2 -i0.1 -s 4000 10.10.0.1", "2 received"},
			{"ping -c2 -i0.1 fd10::1", "2 received"},
			{"ping -c1 -t1 10.10.0.1", "From 10.9.0.2 icmp_seq=1 Time to live exceeded"},
			{"curl -sv --max-time 10 http://10.10.0.1:81/", "Connection refused"},
			{"curl -sv --max-time 10 http://10.10.0.1:82/", "No route to host"},
			{"python3 -c " + unreachable, "ConnectionRefusedError"},
		} {
			args := strings.SplitN(c.command, " -c import", 2)
			list := strings.Fields(args[0])
			if len(args) == 2 {
				list = append(list, "-c", "import"+args[1])
			}
			if got := in(p.peer, list...); !strings.Contains(got, c.want) {
				t.Errorf("%s: %q is not in\n%s", c.command, c.want, got)
			}
		}
	})
}

// whoami is a server that tells clients their address.
const whoami = `
import socket, threading
def serve(family, addr):
    s = socket.socket(family); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind((addr, 80)); s.listen(50)
    while True:
        c, a = s.accept(); c.recv(1000)
        b = ("you are %s\n" % a[0]).encode()
        c.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(b) + b); c.close()
threading.Thread(target=serve, args=(socket.AF_INET6, "fd10::1"), daemon=True).start()
serve(socket.AF_INET, "10.10.0.1")`

// unreachable is a client whose datagram is answered with an ICMP error, by the host to
// which NAT has sent it.
const unreachable = `import socket; s = socket.socket(type=socket.SOCK_DGRAM); s.settimeout(5); s.connect(("10.9.0.2", 8080)); s.send(b"x"); s.recv(1)`
