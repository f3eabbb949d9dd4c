package docker

import (
	"strings"
	"testing"
)

// ownCases are those in which runsc does not do what runc does: want is what it says.
var ownCases = []struct{ name, why, script, want string }{
	{"privileged", "runc cannot raise the bounding set where the host itself has no full one",
		`run --rm --privileged bb sh -c 'grep ^Cap /proc/self/status; grep -E "^(Seccomp|NoNewPrivs):" /proc/self/status; mount -t tmpfs t /home && touch /home/x && echo mounted; hostname new && hostname; echo 1 >/proc/sys/net/ipv4/ip_forward && cat /proc/sys/net/ipv4/ip_forward; mknod /tmp/n c 1 3 && echo x >/tmp/n && echo null; grep -c " /sys .*ro," /proc/mounts'`,
		"CapInh:\t0000000000000000\nCapPrm:\t0000003fffffffff\nCapEff:\t0000003fffffffff\nCapBnd:\t0000003fffffffff\n" +
			"CapAmb:\t0000000000000000\nNoNewPrivs:\t0\nSeccomp:\t0\nmounted\nnew\n1\nnull\n0\n"},
	{"memory limit", "the sandbox kills for want of memory before the host does, so that the host knows nothing of it unless the container ends by it",
		`run --name $N --memory 64m bb sh -c 'tr "\0" x </dev/zero | head -c 400m | sort >/dev/null; echo survived'; docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' $N | tee; docker inspect -f '{{.HostConfig.Memory}}' $N`,
		"survived\nfalse 0\n67108864\n"},
	{"processes of the host", "no process of the host is known in a sandbox", `run --rm --pid host bb true 2>&1 | grep -o 'the host.s processes.*sandbox'`,
		"the host's processes cannot be seen in a sandbox\n"},
	{"host network forbidden", "a flag of runsc", `docker run --label case=$N --rm --runtime=isolated --network=host bb true 2>&1 | grep -o 'the configuration asks for the host.s network.*false'`,
		"the configuration asks for the host's network, which --allow-host-network=false\n"},
}

func TestOwn(t *testing.T) {
	for i, c := range ownCases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			said := script(t, 2000+i, "runsc", c.script)
			out, _, _ := strings.Cut(strings.TrimPrefix(said, "standard output:\n"), "\nstandard error:\n")
			if out != c.want {
				t.Errorf("%s\nwanted (%s):\n%s", said, c.why, c.want)
			}
		})
	}
}
