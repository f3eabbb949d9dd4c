package net

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// keys makes what servers and clients share, where a container sees it too.
func keys(t *testing.T) string {
	dir, err := os.MkdirTemp("/var/tmp", "runsc-net")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	run(t, "sh", "testdata/servers.sh", "keys", dir)
	return dir
}

// script is a command that runs a script of testdata.
func script(t *testing.T, name string, args ...string) string {
	here, err := filepath.Abs("testdata")
	must(t, err)
	return "sh " + strings.Join(append([]string{filepath.Join(here, name)}, args...), " ")
}

// failed is what clients say that have failed.
func failed(t *testing.T, out string) {
	t.Helper()
	if n := strings.Count(out, "ok "); strings.Contains(out, "FAILED") || n == 0 {
		t.Errorf("%d clients went well:\n%s", n, out)
	}
}

// listening waits until the last of the servers answers at both addresses.
func listening(t *testing.T, namespace, four, six string) {
	t.Helper()
	for _, port := range []string{"2222", "8080", "8090", "8444", "8730", "8765", "5201"} {
		for _, a := range []string{four, six} {
			waitFor(t, func() bool {
				return exec.CommandContext(t.Context(), "ip", "netns", "exec", namespace, "nc", "-z", "-w2", a, port).Run() == nil
			})
		}
	}
}

// TestManyClients has programs of many kinds in a container talk to servers at the peer.
func TestManyClients(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		dir := keys(t)
		p.serve(t, 0, strings.Fields(script(t, "servers.sh", dir))...)
		listening(t, p.peer, peer4, peer6)
		failed(t, p.startWith(t, platform, script(t, "clients.sh", dir, peer4, peer6), admin).end(t))
	})
}

// TestManyServers has programs of many kinds at the peer talk to servers in a container.
func TestManyServers(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		dir := keys(t)
		c := p.startWith(t, platform, "exec "+script(t, "servers.sh", dir), admin)
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("the container's output: %s%s", c.out.String(), c.err.String())
			}
		})
		listening(t, p.peer, box4, box6)
		out, err := p.atPeer(t.Context(), strings.Fields(script(t, "clients.sh", dir, box4, box6))...).Output()
		must(t, err)
		failed(t, string(out))
	})
}

// serveTransfers starts servers at the peer for scripts of transfers, and returns a directory
// with a file, "data", that they have.
func (p *pair) serveTransfers(t *testing.T) string {
	dir := keys(t)
	p.serve(t, 8080, "python3", "-m", "http.server", "8080", "--bind", "::", "--directory", dir)
	p.serve(t, 5201, "iperf3", "-s")
	return dir
}

// transfers is a script that moves data both ways, by both families, in several flows and in
// fragments, and then prints "same". The server of iperf3 takes one test at a time, and is busy
// a moment longer than its client.
func transfers(dir string) string {
	return fmt.Sprintf(`set -e
iperf() { for i in 1 2 3 4 5 6 7 8; do iperf3 "$@" >/dev/null && return; sleep 0.3; done; return 1; }
for u in %[1]s [%[2]s]; do curl -sS http://$u:8080/data | cmp - %[3]s/data; done
iperf -n 20M -P4 -c %[1]s
iperf -n 20M -P4 -R -c %[2]s
ping -c2 -i0.1 -s 4000 %[1]s >/dev/null
echo same
`, peer4, peer6, dir)
}

// TestFlags transfers data with what flags say of packets.
func TestFlags(t *testing.T) {
	p := newPair(t)
	dir := p.serveTransfers(t)
	for _, flags := range []string{"--gso=false", "--gro=false", "--num-network-channels=4", "--qdisc=fifo", "--gso=false --gro=false --num-network-channels=2 --qdisc=fifo"} {
		t.Run(flags, func(t *testing.T) {
			if got := p.start(t, "systrap", transfers(dir), strings.Fields(flags)...).end(t); got != "same\n" {
				t.Error(got)
			}
		})
	}
	t.Run("--pcap", func(t *testing.T) {
		file := filepath.Join(dir, "packets-%ID%")
		p.start(t, "systrap", "curl -sS http://"+peer4+":8080/tls.pem", "--pcap="+file).end(t)
		l, err := filepath.Glob(filepath.Join(dir, "packets-c-*"))
		must(t, err)
		if len(l) != 1 {
			t.Fatal("the files are ", l)
		}
		if got := run(t, "tcpdump", "-nnr", l[0], "tcp"); !strings.Contains(got, box4+".") || !strings.Contains(got, "HTTP: GET /tls.pem") {
			t.Errorf("tcpdump says %s", got)
		}
	})
	t.Run("--log-packets", func(t *testing.T) {
		log := filepath.Join(dir, "log")
		p.start(t, "systrap", "ping -c1 "+peer4, "--log-packets", "--debug-log="+log).end(t)
		text, err := os.ReadFile(log)
		must(t, err)
		if !strings.Contains(string(text), "packet eth0 in: ICMP "+peer4+" -> "+box4+" type 0 code 0") {
			t.Errorf("the log is %s", text)
		}
	})
	t.Run("--net-raw=false", func(t *testing.T) {
		if got := p.start(t, "systrap", `python3 -c "import socket; socket.socket(type=socket.SOCK_RAW, proto=1)" 2>&1; true`, "--net-raw=false").end(t); !strings.Contains(got, "PermissionError") {
			t.Error(got)
		}
	})
}
