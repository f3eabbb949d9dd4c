package net

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// cniConfig is a network of CNI: a bridge at the peer, with addresses of both families.
const cniConfig = `{"cniVersion": "0.4.0", "name": "test", "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false,
"ipam": {"type": "host-local", "dataDir": %q, "ranges": [[{"subnet": "10.88.0.0/24"}], [{"subnet": "fd88::/64"}]],
"routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}`

// cni calls the plugin for a namespace.
func cni(t *testing.T, p *pair, command, namespace string) string {
	t.Helper()
	cmd := p.atPeer(t.Context(), "env", "CNI_COMMAND="+command, "CNI_CONTAINERID="+namespace, "CNI_NETNS=/run/netns/"+namespace, "CNI_IFNAME=eth0",
		"CNI_PATH=/usr/lib/cni", "/usr/lib/cni/bridge")
	cmd.Stdin = strings.NewReader(fmt.Sprintf(cniConfig, filepath.Join(p.dir, "ipam")))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("CNI %s: %v\n%s", command, err, out)
	}
	return string(out)
}

// TestCNI has two containers on a bridge that a plugin of CNI has set up, as Kubernetes' engines
// have it.
func TestCNI(t *testing.T) {
	eachPlatform(t, func(t *testing.T, p *pair, platform string) {
		var boxes [2]*pair
		for k := range boxes {
			box := fmt.Sprintf("cni%d-%s", k, strings.TrimPrefix(p.peer, "peer-"))
			run(t, "ip", "netns", "add", box)
			t.Cleanup(func() { exec.Command("ip", "netns", "del", box).Run() })
			boxes[k] = &pair{peer: p.peer, box: box, dir: p.dir}
			cni(t, p, "ADD", box)
		}
		boxes[0].start(t, platform, "exec python3 -m http.server 8080 --bind :: --directory /usr/share/common-licenses")
		for _, a := range []string{"10.88.0.2", "fd88::2"} {
			waitFor(t, func() bool { return p.atPeer(t.Context(), "nc", "-z", "-w2", a, "8080").Run() == nil })
		}
		p.serve(t, 8081, "python3", "-m", "http.server", "8081", "--bind", "::", "--directory", "/usr/share/common-licenses")
		script := `set -e
ip -o addr show dev eth0
for a in 10.88.0.1 10.88.0.2 fd88::1 fd88::2; do ping -c2 -i0.2 -W5 $a | grep received; done
for u in 10.88.0.2:8080 [fd88::2]:8080 10.88.0.1:8081 [fd88::1]:8081; do curl -sS http://$u/GPL-2 | cmp - /usr/share/common-licenses/GPL-2 && echo same; done`
		got := boxes[1].start(t, platform, script).end(t)
		if strings.Count(got, "2 received") != 4 || strings.Count(got, "same") != 4 || !strings.Contains(got, "10.88.0.3/24") || !strings.Contains(got, "fd88::3/64") {
			t.Error(got)
		}
		cni(t, p, "DEL", boxes[1].box)
	})
}
