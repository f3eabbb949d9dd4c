package net

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"casemate/test/dockerd"
)

// newDaemon starts a Docker daemon whose network namespace, $NS, has a server's address
// 192.0.2.53, and which has both platforms as runtimes and the image "bb". After the test
// nothing of it is left.
func newDaemon(t *testing.T) *dockerd.Daemon {
	t.Helper()
	runtimes := map[string][]string{}
	for _, p := range platforms {
		runtimes[p] = []string{"--platform=" + p}
	}
	d, err := dockerd.Start(dockerd.Options{Runsc: runscPath(t), Runtimes: runtimes})
	must(t, err)
	t.Cleanup(func() {
		if err := d.Stop(); err != nil {
			t.Error(err)
		}
	})
	must(t, d.ImportBusybox())
	ns := fmt.Sprintf("/proc/%d/ns/net", d.PID())
	d.Env = append(d.Env, "NS="+ns)
	run(t, "nsenter", "--net="+ns, "ip", "addr", "add", "192.0.2.53/32", "dev", "lo")
	must(t, os.WriteFile(filepath.Join(d.Dir, "server.py"), []byte(server), 0o644))
	return d
}

// dockerCases say the same with runc and with runsc, $R, as often as they are run. Each has
// a network of its own, $N. Package docker has more, on one platform.
var dockerCases = []struct{ name, script string }{
	{"bridge", `docker run --rm --runtime $R bb sh -c 'ip -o addr | sed -E "s/^[0-9]+: //; s/@if[0-9]+//; s/ +/ /g; s/172\.30\.0\.[0-9]+/ADDRESS/"; ip route | sed -E "s/172\.30\.0\.[0-9]+$/ADDRESS/; s/ +/ /g; s/ $//" | sed "s/src 172.*/src ADDRESS/"; ping -c1 172.30.0.1 | grep received'`},
	{"names outside", `docker network create $N >/dev/null; nsenter --net=$NS python3 $DIR/server.py 192.0.2.53 53 "" 192.0.2.99 >/dev/null 2>&1 & server=$!
for i in $(seq 300); do nsenter --net=$NS ss -Hlun | grep -q 192.0.2.53:53 && break; sleep 0.1; done
docker run --rm --network $N --dns 192.0.2.53 --runtime $R bb sh -c 'nslookup -type=a outside.example | grep Address: | tail -1; nslookup -type=a another.example | grep Address: | tail -1'
kill $server; docker network rm $N >/dev/null`},
	{"internal network", `docker network create --internal $N >/dev/null; docker run --rm --network $N --runtime $R bb sh -c 'ip route | grep -c default; ping -c1 -W1 192.0.2.53 >/dev/null 2>&1 || echo unreachable'; docker network rm $N >/dev/null`},
	{"address", `docker network create --subnet 10.99.0.0/24 $N >/dev/null; docker run --rm --network $N --ip 10.99.0.77 --runtime $R bb sh -c 'ip -o addr | grep -o "inet 10[^ ]*"; cat /sys/class/net/eth0/address'; docker network rm $N >/dev/null`},
}

// TestDocker compares runsc with runc on the networks that Docker makes.
func TestDocker(t *testing.T) {
	d := newDaemon(t)
	for i, c := range dockerCases {
		t.Run(c.name, func(t *testing.T) {
			said := map[string]string{}
			for _, r := range append([]string{"runc"}, platforms...) {
				cmd := exec.CommandContext(t.Context(), "sh", "-c", c.script)
				cmd.Env = append(d.Env, "R="+r, fmt.Sprintf("N=net-%d-%s", i, r))
				out, err := cmd.CombinedOutput()
				if err != nil {
					out = append(out, err.Error()...)
				}
				said[r] = strings.ReplaceAll(string(out), r, "RUNTIME")
			}
			for _, r := range platforms {
				if said[r] != said["runc"] {
					t.Errorf("runc says:\n%s\n%s says:\n%s", said["runc"], r, said[r])
				}
			}
			t.Log(said["runc"])
		})
	}
}
