package oci

import (
	"os/exec"
	"testing"

	"casemate/test/bundle"
)

// hook is a hook that notes its name and the state that it is told.
func hook(dir, name string) []bundle.Object {
	return []bundle.Object{{
		"path": "/bin/sh",
		"args": []string{"sh", "-c", `echo "` + name + ` $(sed 's/.*"status":"\([a-z]*\)".*/\1/')" >>` + dir + `/hooks`},
	}}
}

// A sameCase is a script, and what it runs.
type sameCase struct {
	name    string
	program string
	change  func(p *place, spec bundle.Object)
	script  string
}

// sameCases say the same with runc and with runsc. The bundles are sleep, which sleeps until
// it is killed; and script, which runs the case's program.
var sameCases = []sameCase{
	{name: "life", program: `echo started; while ! test -e /tmp/go; do sleep 0.1; done; exit 7`, script: `up $N script; status $N; cat $N.out; rt start $N; status $N; touch rootfs/tmp/go; becomes stopped $N; cat $N.out; rt delete $N; rt state $N; echo $?; ls state`},
	{name: "state", script: `up $N sleep; rt state $N | sed 's/"pid": [1-9][0-9]*/PID/; s/ociVersion.*/VERSION/'; rt start $N; rt kill $N KILL; becomes stopped $N; rt state $N | grep pid`},
	{name: "annotations", change: func(_ *place, s bundle.Object) { s["annotations"] = map[string]string{"a.b": "c", "d": "e f"} }, script: `up $N script; rt state $N | grep -A3 annotations`},
	{name: "id that is taken", script: `up $N sleep; rt create --bundle sleep $N; echo $?; rt run --bundle sleep $N; echo $?`},
	{name: "id that is invalid", script: `for i in a/b 'a b' .. ''; do rt create --bundle sleep "$i"; echo $?; done 2>&1 | sed 's/: \([^:]*\)$/: \1/' | grep -c .`},
	{name: "start twice", script: `run $N sleep; rt start $N; echo $?; rt kill $N 9; becomes stopped $N; rt start $N; echo $?`},
	{name: "no such container", script: `for c in start state kill pause resume 'exec no' ps delete; do rt $c no 2>/dev/null; echo $c $?; done; rt delete --force no; echo $?`},
	{name: "list", script: `rt list; up $N sleep; rt list | tr -s ' ' | sed 's/ [0-9][0-9]* / PID /'; rt list -q; rt list --format json | sed 's/"pid":[1-9][0-9]*/PID/; s/"ociVersion":"[^"]*"/VERSION/'; rt list --format nonsense; echo $?`},
	{name: "kill", program: `trap 'echo usr1' USR1; trap 'exit 5' TERM; echo ready; while :; do sleep 0.1; done`, script: `run $N script; eventually grep ready $N.out; rt kill $N USR1; eventually grep usr1 $N.out; rt kill $N SIGUSR1; rt kill $N 10; status $N; rt kill $N; becomes stopped $N; rt kill $N 2>&1; echo $?; rt kill $N nonsense; echo $?; rt kill $N 0; echo $?`},
	{name: "kill all", program: `(trap '' TERM; echo one; while :; do sleep 0.1; done) & echo two; wait`, script: `run $N script; eventually grep two $N.out; rt kill --all $N KILL; becomes stopped $N`},
	{name: "kill what was created", script: `up $N sleep; rt kill $N KILL; becomes stopped $N; rt delete $N; echo $?`},
	{name: "delete", script: `run $N sleep; rt delete $N; echo $?; status $N; rt delete --force $N; echo $?; rt state $N; up $N sleep; rt delete $N; echo $?; ls state`},
	{name: "run", program: `echo out; echo err >&2; cat; exit 3`, script: `echo in | rt run --bundle script $N; echo $?; ls state`},
	{name: "run --keep", program: `exit 3`, script: `rt run --keep --bundle script $N; echo $?; status $N; rt delete $N; ls state`},
	{name: "run --detach", program: `echo out; sleep 1000`, script: `rt run --detach --bundle script --pid-file pid $N </dev/null >out; echo $?; eventually grep out out; status $N; kill -9 $(cat pid); becomes stopped $N`},
	{name: "pid file", script: `rt create --bundle sleep --pid-file pid $N </dev/null >out; test "$(rt state $N | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')" = "$(cat pid)" && echo same; test -d /proc/$(cat pid) && echo there; rt start $N; kill -9 $(cat pid); becomes stopped $N`},
	{name: "exec", script: `run $N sleep; rt exec $N sh -c 'echo out; echo err >&2; id; pwd; exit 4'; echo $?; echo in | rt exec $N cat; rt exec $N sh -c 'kill -9 $$'; echo $?; rt exec $N nothing; echo $?; rt exec $N /etc/passwd; echo $?; rt exec $N; echo $?`},
	{name: "exec options", script: `run $N sleep; rt exec --user 1000:7 --additional-gids 8 --additional-gids 9 $N sh -c 'id -u; id -G'; rt exec --cwd /tmp $N pwd; rt exec --env A=b --env C=d $N env | grep -E '^[AC]='; rt exec --cap CAP_SYS_ADMIN $N grep -E 'Cap(Eff|Prm|Bnd)' /proc/self/status; rt exec --no-new-privs $N grep NoNew /proc/self/status; rt exec --user nobody $N id; echo $?; rt exec --cwd /nothing $N pwd; echo $?`},
	{name: "exec --process", script: `run $N sleep; echo '{"args":["/bin/sh","-c","id -u; pwd; echo $A"],"cwd":"/tmp","env":["PATH=/bin","A=b"],"user":{"uid":1000,"gid":1000}}' >p; rt exec --process p $N; echo $?; echo '{"cwd":"/"}' >p; rt exec --process p $N 2>/dev/null; echo $?; echo '{' >p; rt exec --process p $N 2>/dev/null; echo $?`},
	{name: "exec --detach", script: `run $N sleep; rt exec --detach --pid-file pid $N sh -c 'echo x >/tmp/x; exec sleep 1001' </dev/null >/dev/null 2>&1; echo $?; test -d /proc/$(cat pid) && echo there; eventually test -s rootfs/tmp/x; rt exec $N ps | grep -c 'sleep 1001'; kill $(cat pid); eventually test ! -d /proc/$(cat pid); rt exec $N ps | grep -c 'sleep 1001'; status $N`},
	{name: "exec in what does not run", script: `up $N sleep; rt start $N; rt kill $N KILL; becomes stopped $N; rt exec $N true 2>&1; echo $?`},
	{name: "descriptors", program: `cat <&3; echo to four >&4; ls /proc/self/fd | tr '\n' ' '`, script: `echo from three >three; rt run --bundle script --preserve-fds 2 $N 3<three 4>four; cat four; run $N sleep; rt exec --preserve-fds 2 $N sh -c 'cat <&3; echo again >&4' 3<three 4>four; cat four`},
	{name: "ps", script: `run $N sleep; rt ps --format json $N | sed 's/[0-9][0-9]*/PID/g; s/,PID//g'; sleeps() { rt ps $N | grep -q sleep; }; eventually sleeps; rt ps $N | grep -c sleep; rt ps --format nonsense $N 2>/dev/null; echo $?`},
	{name: "pause", program: `i=0; while :; do i=$((i+1)); echo $i >/tmp/n; sleep 0.05; done`, script: `run $N script; eventually test -s rootfs/tmp/n; rt pause $N; status $N; cp rootfs/tmp/n a; sleep 0.3; cmp a rootfs/tmp/n && echo still; rt exec $N true 2>/dev/null; echo $?; rt pause $N 2>/dev/null; echo $?; rt resume $N; status $N; moved() { ! cmp -s a rootfs/tmp/n; }; eventually moved && echo moving; rt resume $N 2>/dev/null; echo $?`},
	{name: "kill what is paused", program: `trap "echo usr1" USR1; echo ready; while :; do sleep 0.1; done`, script: `run $N script; eventually grep ready $N.out; rt pause $N; rt kill $N USR1; echo $?; status $N; rt resume $N; eventually grep usr1 $N.out; status $N`},
	{name: "delete what is paused", script: `run $N sleep; rt pause $N; rt delete $N 2>&1; echo $?; rt delete --force $N; echo $?; rt state $N 2>/dev/null; echo $?`},
	{name: "update", change: func(_ *place, s bundle.Object) {
		s["linux"].(bundle.Object)["resources"] = bundle.Object{"memory": bundle.Object{"limit": 100 << 20}}
		s["linux"].(bundle.Object)["cgroupsPath"] = "/casemate-oci-update"
	}, program: `sleep 1000`, script: `run $N script; cat /sys/fs/cgroup/memory/casemate-oci-update/memory.limit_in_bytes; rt update --memory 150000000 --cpu-share 300 $N; cat /sys/fs/cgroup/memory/casemate-oci-update/memory.limit_in_bytes /sys/fs/cgroup/cpu/casemate-oci-update/cpu.shares; echo '{"memory":{"limit":120000000}}' | rt update -r - $N; cat /sys/fs/cgroup/memory/casemate-oci-update/memory.limit_in_bytes; rt update --memory x $N 2>/dev/null; echo $?; rt delete --force $N; ls -d /sys/fs/cgroup/*/casemate-oci-update 2>&1 | grep -c ^/`},
	{name: "hooks", program: `echo container >>/dev/null; sleep 0.2`, change: func(p *place, s bundle.Object) {
		hooks := bundle.Object{}
		for _, kind := range []string{"prestart", "createRuntime", "createContainer", "poststop"} {
			hooks[kind] = hook(p.dir, kind)
		}
		s["hooks"] = hooks
	}, script: `up $N script; cat hooks; echo --; rt start $N; cat hooks; becomes stopped $N; rt delete $N; cat hooks`},
	{name: "startContainer hook", program: `cat /tmp/hook`, change: func(p *place, s bundle.Object) {
		s["hooks"] = bundle.Object{"startContainer": []bundle.Object{{"path": "/bin/sh", "args": []string{"sh", "-c", `cat >/tmp/state; echo "$A inside" >/tmp/hook; grep -c status /tmp/state >>/tmp/hook`}, "env": []string{"A=b", "PATH=/bin"}}}}
	}, script: `run $N script; becomes stopped $N; cat $N.out`},
	{name: "hook that fails", change: func(p *place, s bundle.Object) {
		s["hooks"] = bundle.Object{"createRuntime": []bundle.Object{{"path": "/bin/false"}}, "poststop": hook(p.dir, "poststop")}
	}, program: `true`, script: `rt create --bundle script $N 2>/dev/null; echo $?; rt state $N 2>/dev/null; echo $?; ls state`},
	{name: "hook that takes too long", change: func(p *place, s bundle.Object) {
		s["hooks"] = bundle.Object{"createRuntime": []bundle.Object{{"path": "/bin/sleep", "args": []string{"sleep", "100"}, "timeout": 1}}}
	}, program: `true`, script: `rt create --bundle script $N 2>/dev/null; echo $?; ls state`},
	{name: "failures of create", script: `rt create --bundle nothing $N 2>/dev/null; echo $?; mkdir empty; echo '{}' >empty/config.json; rt create --bundle empty $N 2>/dev/null; echo $?; rt create --bundle sleep --console-socket x $N 2>/dev/null; echo $?; ls state`},
	{name: "program that is missing", change: func(_ *place, s bundle.Object) { s["process"].(bundle.Object)["args"] = []string{"nothing"} }, script: `rt --log log --log-format json create --bundle script $N; echo $?; sed 's/.*"level":"\([a-z]*\)".*"msg":"\(.*\)".*/\1 \2/; s/","time.*//' log; ls state`},
	{name: "terminal without a socket", change: func(_ *place, s bundle.Object) { s["process"].(bundle.Object)["terminal"] = true }, script: `rt create --bundle script $N 2>/dev/null; echo $?; rt run -d --bundle script $N 2>/dev/null; echo $?`},
	{name: "namespaces of another container", change: func(_ *place, s bundle.Object) {
		s["hostname"] = nil
		s["linux"].(bundle.Object)["namespaces"] = []bundle.Object{{"type": "mount"}, {"type": "ipc"}, {"type": "uts", "path": "/proc/INIT/ns/uts"},
			{"type": "network", "path": "/proc/INIT/ns/net"}, {"type": "pid", "path": "/proc/INIT/ns/pid"}}
	}, program: `hostname; nc -w 5 127.0.0.1 7 </dev/null; ps >/tmp/ps; grep -c '[s]leep 1000' /tmp/ps; exit 3`, script: `run $N sleep; rt exec -d $N sh -c 'echo served | nc -l -p 7' </dev/null >/dev/null 2>&1; eventually rt exec $N grep -q :0007 /proc/net/tcp /proc/net/tcp6
		pid=$(rt state $N | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'); sed -i "s/INIT/$pid/" script/config.json; run $N-2 script; becomes stopped $N-2; cat $N-2.out; rt delete $N-2; status $N`},
	{name: "devices of the host's network", change: func(_ *place, s bundle.Object) {
		s["linux"].(bundle.Object)["namespaces"] = []bundle.Object{{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}}
	}, program: `ip -o link show lo | cut -d: -f1,2; ip link show nothing; echo $?`, script: `rt run --bundle script $N; echo $?`},
	{name: "files of control groups", change: withLimits, program: groupFiles, script: `run $N script; eventually grep first $N.out; rt update --memory 150000000 --cpu-quota 30000 --cpu-share 300 --pids-limit 30 $N; touch rootfs/tmp/go; eventually grep second $N.out; cat $N.out`},
	{name: "ended by a signal", program: `kill -TERM $$; sleep 5`, script: `rt run --bundle script $N; echo $?`},
	{name: "nice", program: `nice; nice -n 2 nice`, script: `nice -n 5 $RUNTIME --root $X/state $OPTIONS run --bundle script $N; run $N sleep; rt exec $N nice; nice -n 7 $RUNTIME --root $X/state $OPTIONS exec $N nice`},
	{name: "exit code", program: `exit 255`, script: `rt run --bundle script $N; echo $?`},
}

// same runs a case with runc and with runsc, by way of the command line enter, and compares.
func (c *sameCase) same(t *testing.T, enter ...string) {
	runc, err := exec.LookPath("runc")
	must(t, err)
	said := func(name, path string) string {
		p := newPlace(t)
		p.enter = enter
		p.bundle(t, "sleep", "exec sleep 1000", nil)
		p.bundle(t, "script", c.program, func(s bundle.Object) {
			if c.change != nil {
				c.change(p, s)
			}
		})
		return p.script(t, name, path, c.script)
	}
	want := said("runc", runc)
	if got := said("runsc", runscPath(t)); got != want {
		t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
	}
}

func TestSame(t *testing.T) {
	for _, c := range sameCases {
		t.Run(c.name, func(t *testing.T) { c.same(t) })
	}
}

// TestUnified runs cases where the host has version 2 of control groups alone: in a mount
// namespace, if it has others besides.
func TestUnified(t *testing.T) {
	for _, c := range sameCases {
		switch c.name {
		case "life", "kill all", "exec", "exec --detach", "ps", "pause", "kill what is paused", "delete what is paused":
			t.Run(c.name, func(t *testing.T) {
				c.same(t, "unshare", "--mount", "--propagation", "private", "sh", "-ec",
					`! mountpoint -q /sys/fs/cgroup/unified || mount -t cgroup2 cgroup2 /sys/fs/cgroup
					test -e /sys/fs/cgroup/cgroup.controllers || echo version 2 is not mounted; exec "$@"`, "sh")
			})
		}
	}
}
