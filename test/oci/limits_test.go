package oci

import (
	"strings"
	"testing"

	"casemate/test/bundle"
)

// withLimits gives a container limits of all kinds, and its control group's files.
func withLimits(_ *place, s bundle.Object) {
	l := s["linux"].(bundle.Object)
	l["resources"] = bundle.Object{
		"memory": bundle.Object{"limit": 128 << 20, "reservation": 64 << 20},
		"cpu":    bundle.Object{"quota": 50000, "period": 100000, "shares": 512},
		"pids":   bundle.Object{"limit": 20},
	}
	l["cgroupsPath"] = "/casemate-oci-files"
	s["mounts"] = append(s["mounts"].([]bundle.Object), bundle.Mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "ro"))
}

// groupFiles shows them, in whatever version, and again when there is a file /tmp/go.
const groupFiles = `cd /sys/fs/cgroup
show() {
	for f in memory.max memory.low cpu.max cpu.weight pids.max memory/memory.limit_in_bytes memory/memory.soft_limit_in_bytes \
		cpu/cpu.cfs_quota_us cpu/cpu.cfs_period_us cpu/cpu.shares cpuset/cpuset.mems pids/pids.max; do
		! test -e $f || echo $f $(cat $f)
	done
	! test -e memory/memory.stat || grep ^hierarchical_memory_limit memory/memory.stat
	grep -c . pids.current pids/pids.current 2>/dev/null
	cat cgroup.procs pids/cgroup.procs 2>/dev/null | head -1
}
show; ls; cat /proc/self/cgroup; cut -d' ' -f4-6,9- /proc/self/mountinfo | grep cgroup | sort; echo 1 >cgroup.procs || echo 1 >pids/cgroup.procs
echo first; until test -e /tmp/go; do sleep 0.1; done; show; echo second; sleep 100`

// TestUpdate changes the limits of a container that runs: what it sees of the machine follows,
// and what holds for it.
func TestUpdate(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "script", "exec sleep 1000", func(s bundle.Object) { withLimits(p, s) })
	p.expect(t, `run $N script; see() { rt exec $N sh -c 'grep MemTotal /proc/meminfo; nproc; grep -c ^processor /proc/cpuinfo; cat /sys/devices/system/cpu/online /proc/sys/kernel/threads-max'; }; see
		rt update --memory 268435456 --cpu-quota 200000 --pids-limit 4 $N; see
		rt exec $N sh -c 'i=0; while [ $i -lt 4 ]; do sleep 1000 >/dev/null 2>&1 & i=$((i+1)); done' 2>&1 | grep -o 'Resource temp.*'; rt exec $N killall sleep
		rt update --memory 134217728 --pids-limit 50 $N; rt exec $N sh -c 'grep MemTotal /proc/meminfo; for i in 1 2 3 4 5; do true & done; echo made'
		rt pause $N; rt update --memory 201326592 $N; rt resume $N; rt exec $N grep MemTotal /proc/meminfo`,
		`MemTotal:         131072 kB
1
1
0
20
MemTotal:         262144 kB
2
2
0-1
4
Resource temporarily unavailable
MemTotal:         131072 kB
made
MemTotal:         196608 kB
`)
}

// podOf makes bundles of a pod's first container and of a further one, as containerd does.
func podOf(t *testing.T, p *place, id, program string, change func(bundle.Object)) {
	t.Helper()
	for _, kind := range []string{"sandbox", "container"} {
		script := "exec sleep 1000"
		if kind == "container" {
			script = program
		}
		p.bundle(t, kind, script, func(s bundle.Object) {
			s["annotations"] = map[string]string{"io.kubernetes.cri.container-type": kind, "io.kubernetes.cri.sandbox-id": id}
			if kind == "container" && change != nil {
				change(s)
			}
		})
	}
}

// TestPodPause pauses containers of a pod one by one.
func TestPodPause(t *testing.T) {
	p := newPlace(t)
	podOf(t, p, p.id("runsc"), `i=0; while :; do i=$((i+1)); echo $i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.05; done`, nil)
	p.expect(t, `run $N sandbox; run $N-1 container; eventually test -s rootfs/tmp/n
		moves() { test "$(cat rootfs/tmp/n)" != "$1"; }; goes() { eventually moves "$(cat rootfs/tmp/n)" && echo goes; }
		stands() { a=$(cat rootfs/tmp/n); rt exec $N sleep 0.5; test "$a" = "$(cat rootfs/tmp/n)"; }
		rt pause $N-1; status $N-1; status $N; eventually stands && echo stands
		rt exec $N-1 true 2>/dev/null; echo $?; rt resume $N-1; status $N-1; goes
		rt pause $N; status $N; status $N-1; goes; rt exec $N true 2>/dev/null; echo $?; rt resume $N; status $N; rt exec $N echo again
		rt pause $N-1; (sleep 0.3; rt resume $N-1) & rt exec --ignore-paused $N-1 echo waited; wait; rt pause $N-1; rt delete --force $N-1; rt list -q`,
		"paused\nrunning\nstands\n255\nrunning\ngoes\npaused\nrunning\ngoes\n255\nrunning\nagain\nwaited\nNAME\n")
}

// TestPodLimits gives a pod's second container limits of its own, and changes them.
func TestPodLimits(t *testing.T) {
	p := newPlace(t)
	podOf(t, p, p.id("runsc"), `exec sleep 1000`, func(s bundle.Object) { withLimits(p, s) })
	p.expect(t, `run $N sandbox; run $N-1 container; see() { rt exec $N-1 sh -c 'grep MemTotal /proc/meminfo; cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max memory.max pids.max 2>/dev/null'; }; see
		rt update --memory 67108864 --pids-limit 3 $N-1; see; rt exec $N-1 sh -c 'sleep 1000 >/dev/null 2>&1 & sleep 1000 >/dev/null 2>&1 & true & true' 2>&1 | grep -o 'Resource temp.*'; rt exec $N-1 killall sleep; rt update --pids-limit 10 $N-1; rt exec $N sh -c 'for i in 1 2 3 4; do true & done; echo made'
		rt exec $N-1 sh -c 'head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null' 2>/dev/null; echo $?; status $N-1; status $N`,
		strings.Join([]string{"MemTotal:         131072 kB", "134217728", "20", "MemTotal:          65536 kB", "67108864", "3", "Resource temporarily unavailable", "made", "137", "running", "running", ""}, "\n"))
}

// TestOOMEvent has events tell of a process that was killed for want of memory while the container
// goes on.
func TestOOMEvent(t *testing.T) {
	p := newPlace(t)
	p.bundle(t, "script", "exec sleep 1000", func(s bundle.Object) { withLimits(p, s) })
	p.expect(t, `run $N script; rt events --interval 100ms $N >events & pid=$!; eventually grep -q stats events
		rt exec $N sh -c 'head -c 200000000 /dev/zero | tail -c 200000000 >/dev/null' 2>/dev/null; echo $?; eventually grep -q '"type":"oom"' events; grep -c '"type":"oom"' events; rt exec $N grep -hs 'oom_kill [1-9]' /sys/fs/cgroup/memory/memory.oom_control /sys/fs/cgroup/memory.events; status $N; rt delete --force $N; wait $pid`,
		"137\n1\noom_kill 1\nrunning\n")
}

// TestWaitStopped asks for exit codes when the containers have ended.
func TestWaitStopped(t *testing.T) {
	p := newPlace(t)
	podOf(t, p, p.id("runsc"), "exit 9", nil)
	p.bundle(t, "six", "exit 6", nil)
	p.expect(t, `run $N six; becomes stopped $N; rt wait $N; rt delete $N; run $N sandbox; run $N-1 container; becomes stopped $N-1; rt wait $N-1; rt kill $N KILL; becomes stopped $N; rt wait $N`,
		"stopped\n"+`{"id":"NAME","exitStatus":6}`+"\nstopped\n"+`{"id":"NAME-1","exitStatus":9}`+"\nstopped\n"+`{"id":"NAME","exitStatus":137}`+"\n")
}
