package net

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A daemon is a Docker daemon in a network namespace of its own, with an image "bb", which
// is busybox.
type daemon struct {
	dir, ns string
	env     []string
}

func newDaemon(t *testing.T) *daemon {
	t.Helper()
	for _, program := range []string{"dockerd", "docker", "runc", "busybox", "nsenter"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("the tests of Docker's networks need docker.io, runc and busybox-static: %v", err)
		}
	}
	// The names of Docker's sockets must not be long.
	dir, err := os.MkdirTemp("/tmp", "casemate-net")
	must(t, err)
	d := &daemon{dir: dir, ns: fmt.Sprintf("docker-%d", os.Getpid())}
	d.env = append(os.Environ(), "DOCKER_HOST=unix://"+dir+"/docker.sock", "DOCKER_CONFIG="+dir, "DIR="+dir, "NS=/run/netns/"+d.ns)
	run(t, "ip", "netns", "add", d.ns)
	run(t, "ip", "-n", d.ns, "link", "set", "lo", "up")
	run(t, "ip", "-n", d.ns, "addr", "add", "192.0.2.53/32", "dev", "lo")
	config, err := json.Marshal(map[string]any{"runtimes": map[string]any{
		"systrap": map[string]any{"path": runscPath(t), "runtimeArgs": []string{"--platform=systrap"}},
		"ptrace":  map[string]any{"path": runscPath(t), "runtimeArgs": []string{"--platform=ptrace"}},
	}})
	must(t, err)
	must(t, os.WriteFile(dir+"/daemon.json", config, 0o600))
	log, err := os.Create(dir + "/dockerd.log")
	must(t, err)
	defer log.Close()
	// nsenter leaves /sys as it is, where the control groups are.
	cmd := exec.Command("nsenter", "--net=/run/netns/"+d.ns, "dockerd", "--config-file", dir+"/daemon.json", "--data-root", dir+"/data",
		"--exec-root", dir+"/exec", "--host", "unix://"+dir+"/docker.sock", "--pidfile", dir+"/dockerd.pid", "--bip", "172.30.0.1/16")
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, d.env
	must(t, cmd.Start())
	t.Cleanup(func() {
		d.run("docker ps -aq | xargs -r docker rm -f")
		cmd.Process.Signal(unix.SIGTERM)
		cmd.Wait()
		exec.Command("ip", "netns", "del", d.ns).Run()
		mounts, _ := os.ReadFile("/proc/self/mounts")
		for line := range strings.Lines(string(mounts)) {
			if f := strings.Fields(line); strings.HasPrefix(f[1], dir+"/") {
				unix.Unmount(f[1], unix.MNT_DETACH)
			}
		}
		os.RemoveAll(dir)
	})
	image := dir + "/bb.tar"
	must(t, os.WriteFile(image, busybox(t), 0o600))
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		out, err := d.run("docker import " + image + " bb")
		if err == nil {
			return d
		}
		if time.Now().After(end) {
			said, _ := os.ReadFile(log.Name())
			t.Fatalf("importing an image: %v: %s; the daemon says: %s", err, out, said)
		}
	}
}

// busybox is the image's root file system.
func busybox(t *testing.T) []byte {
	t.Helper()
	path, err := exec.LookPath("busybox")
	must(t, err)
	data, err := os.ReadFile(path)
	must(t, err)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	add := func(h tar.Header, data string) {
		h.Size = int64(len(data))
		must(t, w.WriteHeader(&h))
		_, err := w.Write([]byte(data))
		must(t, err)
	}
	for _, d := range []string{"bin", "etc", "tmp", "www"} {
		add(tar.Header{Name: d + "/", Typeflag: tar.TypeDir, Mode: 0o755}, "")
	}
	add(tar.Header{Name: "bin/busybox", Mode: 0o755}, string(data))
	for a := range strings.FieldsSeq("sh ip ping wget httpd nslookup sleep cat grep sed sort cut tail head hostname true") {
		add(tar.Header{Name: "bin/" + a, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, "")
	}
	add(tar.Header{Name: "www/index.html", Mode: 0o644}, "the page\n")
	must(t, w.Close())
	return b.Bytes()
}

// run runs a script in which docker speaks to the daemon; outside runs a command where the
// daemon is, and eventually repeats one until it succeeds.
func (d *daemon) run(script string) (string, error) {
	cmd := exec.Command("sh", "-c", `outside() { nsenter --net=$NS "$@"; }
eventually() { for i in $(seq 100); do "$@" && return; sleep 0.1; done; echo never: "$@"; }
`+script)
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// dockerCases say the same with runc and with runsc, $R, as often as they are run. Each has
// a network of its own, $N.
var dockerCases = []struct{ name, script string }{
	{"bridge", `docker run --rm --runtime $R bb sh -c 'ip -o addr | sed -E "s/^[0-9]+: //; s/@if[0-9]+//; s/ +/ /g; s/172\.30\.0\.[0-9]+/ADDRESS/"; ip route | sed -E "s/172\.30\.0\.[0-9]+$/ADDRESS/; s/ +/ /g; s/ $//" | sed "s/src 172.*/src ADDRESS/"; ping -c1 172.30.0.1 | grep received'`},
	{"none", `docker run --rm --runtime $R --network none bb sh -c 'ip -o addr | sed -E "s/ +/ /g"; ip route; ping -c1 127.0.0.1 | grep received'`},
	{"published port", `docker run -d --name w-$N --runtime $R -p 8080:80 bb httpd -f -h /www >/dev/null; eventually outside curl -sf -o /dev/null http://127.0.0.1:8080/; outside curl -s http://127.0.0.1:8080/; outside curl -s http://172.30.0.1:8080/; docker port w-$N; docker rm -f w-$N >/dev/null`},
	{"names", `docker network create $N >/dev/null; docker run -d --name web --network $N --network-alias other --runtime $R bb httpd -f -h /www >/dev/null
docker run --rm --network $N --runtime $R bb sh -c 'wget -q -O- http://web/; wget -q -O- http://other/; ping -c1 web | grep received; grep nameserver /etc/resolv.conf'
docker rm -f web >/dev/null; docker network rm $N >/dev/null`},
	{"names outside", `docker network create $N >/dev/null; nsenter --net=$NS python3 $DIR/server.py 192.0.2.53 53 "" 192.0.2.99 >/dev/null 2>&1 & server=$!
eventually sh -c "nsenter --net=$NS ss -Hlun | grep -q 192.0.2.53:53"
docker run --rm --network $N --dns 192.0.2.53 --runtime $R bb sh -c 'nslookup -type=a outside.example | grep Address: | tail -1; nslookup -type=a another.example | grep Address: | tail -1'
kill $server; docker network rm $N >/dev/null`},
	{"two networks", `docker network create $N >/dev/null; docker create --name c-$N --runtime $R bb sh -c 'ip -o addr | grep -c "inet .*eth"; ip route | grep -c ^default' >/dev/null; docker network connect $N c-$N; docker start -a c-$N; docker rm c-$N >/dev/null; docker network rm $N >/dev/null`},
	{"internal network", `docker network create --internal $N >/dev/null; docker run --rm --network $N --runtime $R bb sh -c 'ip route | grep -c default; ping -c1 -W1 192.0.2.53 >/dev/null 2>&1 || echo unreachable'; docker network rm $N >/dev/null`},
	{"address", `docker network create --subnet 10.99.0.0/24 $N >/dev/null; docker run --rm --network $N --ip 10.99.0.77 --mac-address 02:00:00:00:99:01 --runtime $R bb sh -c 'ip -o addr | grep -o "inet 10[^ ]*"; cat /sys/class/net/eth0/address'; docker network rm $N >/dev/null`},
}

// TestDocker compares runsc with runc on the networks that Docker makes.
func TestDocker(t *testing.T) {
	d := newDaemon(t)
	must(t, os.WriteFile(filepath.Join(d.dir, "server.py"), []byte(server), 0o644))
	for i, c := range dockerCases {
		t.Run(c.name, func(t *testing.T) {
			said := map[string]string{}
			for _, r := range []string{"runc", "systrap", "ptrace"} {
				out, err := d.run(fmt.Sprintf("R=%s; N=net-%d-%s\n%s", r, i, r, c.script))
				if err != nil {
					out += err.Error()
				}
				said[r] = strings.ReplaceAll(out, r, "RUNTIME")
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
