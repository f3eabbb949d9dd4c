package podman

import "testing"

// same runs each case with both runtimes.
func same(t *testing.T, p *person, cases []sameCase) {
	p.prepare(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want := p.script(t, "runc", c.script)
			if got := p.script(t, "runsc", c.script); got != want {
				t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
			}
		})
	}
}

// A sameCase says the same with runc and with runsc.
type sameCase struct{ name, script string }

func TestRoot(t *testing.T) { same(t, root, rootCases) }

// Differences by design:
//
//   - podman cp of a container that runs, and podman top, enter the mount namespace of the
//     container's process on the host. That of a sandbox is empty (TestNoWayIn).
//   - Inside, the container's cgroup is shown as version 2 shows it, whatever the host has.
//   - When the first container of a pod ends the others do: what Podman says if it comes too
//     late to end them is left out.
var rootCases = []sameCase{
	{"run", `run --rm bb sh -c 'echo out; echo err >&2; id; pwd; hostname | wc -c; exit 4'; echo $?; printf 'a\nb\n' | run --rm -i bb sh -c 'cat; echo end'`},
	{"run -t", `run --rm -t bb sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo terminal; ls -l /dev/console | cut -c1-10; echo x'`},
	{"run -d", `run -d --name $N bb sh -c 'echo one; echo two >&2; exit 4' >/dev/null; ended $N; podman logs $N; podman ps -a --format '{{.Names}} {{.ExitCode}}'`},
	{"exit codes", `for i in 0 1 125 126 127 128 255; do run --rm bb sh -c "exit $i"; echo $?; done; run --rm --init bb sh -c 'kill -9 $$'; echo $?; run --rm bb nothing 2>/dev/null; echo $?; run --rm bb /etc/passwd 2>/dev/null; echo $?`},
	{"exec", `up $N; podman exec $N sh -c 'echo out; echo err >&2; id; exit 3'; echo $?; echo in | podman exec -i $N cat; podman exec -u user -w /tmp -e A=b $N sh -c 'id -u; pwd; echo $A'; podman exec $N nothing 2>/dev/null; echo $?; podman exec -t $N sh -c 'tty; test -t 0 && echo terminal'; podman exec -d $N sh -c 'echo x >/tmp/f' >/dev/null; eventually podman exec $N test -s /tmp/f; podman exec $N cat /tmp/f`},
	{"stop and kill", `run -d --name $N bb sh -c 'trap "echo stopping; exit 7" TERM; trap "echo hup" HUP; echo ready; while :; do sleep 0.1; done' >/dev/null; eventually sh -c "podman --root $STORE --runroot $RUN logs $N | grep ready"; podman kill -s HUP $N; eventually sh -c "podman --root $STORE --runroot $RUN logs $N | grep hup"; podman stop $N; ended $N; podman logs $N; podman start $N; podman kill $N; ended $N`},
	{"restart", `up $N --tmpfs /tmp; podman exec $N sh -c 'echo kept >/f; echo gone >/tmp/f; mount | grep -c /tmp' ; podman restart -t 0 $N >/dev/null; podman exec $N sh -c 'cat /f; ls /tmp'`},
	{"cp of what has stopped", `run --name $N bb sh -c 'echo out >/tmp/out; mkdir -p /o/p; echo x >/o/p/q'; echo in >f; mkdir -p d/e; echo deep >d/e/f; podman cp f $N:/tmp/f; podman cp d $N:/; podman cp $N:/tmp/out .; podman cp $N:/o .; cat out o/p/q; podman commit -q $N img-$N >/dev/null; run --rm img-$N cat /tmp/f /d/e/f; podman rmi img-$N >/dev/null`},
	{"diff and commit", `run --name $N bb sh -c 'echo x >/new; rm /etc/group; mkdir -p /d/e; touch /d/e/f'; podman diff $N | sort; podman commit -q $N img-$N >/dev/null; run --rm img-$N sh -c 'cat /new; ls /etc /d/e'; podman rmi img-$N >/dev/null`},
	{"build", `printf 'FROM bb\nRUN echo x >/x && echo built:x:77:77::/:/bin/sh >>/etc/passwd && id built\nRUN cat /x >>/y; mkdir -p /a/b\nENV E=f\nWORKDIR /a\nUSER built\nCOPY f /f\nCMD ["sh","-c","id -un; pwd; cat /x /y /f; env | grep ^E"]\n' >Dockerfile; echo copied >f; podman build -q --network none -t img-$N . >/dev/null && run --rm img-$N; podman rmi -f img-$N >/dev/null`},
	{"volumes", `mkdir d; echo a >d/f; run --rm -v $X/d:/d bb sh -c 'cat /d/f; echo new >/d/g; rm /d/f'; ls d; run --rm -v $X/d:/d:ro bb sh -c 'touch /d/x; cat /d/g'; podman volume create v-$N >/dev/null; run --rm -v v-$N:/v bb sh -c 'echo kept >/v/f'; run --rm -v v-$N:/v bb cat /v/f; run --rm --tmpfs /t:size=1m,mode=1777 bb sh -c 'df /t | tail -1 | tr -s " " | cut -d" " -f1,2; stat -c %a /t'; run --rm --read-only bb sh -c 'touch /f; touch /tmp/f && echo tmp'`},
	{"user and capabilities", `run --rm --user 1000:2000 bb id; run --rm bb grep Cap /proc/self/status; run --rm --cap-drop all --cap-add CAP_CHOWN bb grep Cap /proc/self/status; run --rm --security-opt no-new-privileges bb grep NoNewPrivs /proc/self/status; run --rm --privileged bb sh -c 'grep CapEff /proc/self/status | grep -c 0000000000000000; mount -t tmpfs t /tmp && echo mounted'`},
	{"seccomp", `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":38}]}' >p; run --rm --security-opt seccomp=$X/p bb mkdir /d; echo $?; run --rm bb grep Seccomp: /proc/self/status; run --rm --security-opt seccomp=unconfined bb grep Seccomp: /proc/self/status`},
	{"limits", `run --rm --ulimit nofile=100:200 --ulimit nproc=1000:1000 bb sh -c 'ulimit -n; ulimit -Hn'; run --rm --pids-limit 20 bb sh -c 'i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i+1)); done 2>&1' | grep -c "can't fork"; run --name $N --memory 64m bb sh -c 'dd if=/dev/zero of=/dev/null bs=200M count=1' >/dev/null 2>&1; podman inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' $N; run --rm --cpus 0.5 bb sh -c 'cd /sys/fs/cgroup; cat cpu.max cpu/cpu.cfs_quota_us 2>/dev/null' | cut -d' ' -f1`},
	{"pause", `run -d --name $N bb sh -c 'while :; do echo x >>/f; sleep 0.05; done' >/dev/null; eventually podman exec $N test -s /f; podman pause $N; podman inspect -f '{{.State.Status}}' $N; podman exec $N true 2>/dev/null; echo $?; podman unpause $N; podman exec $N test -s /f; echo $?`},
	{"stats", `up $N; podman stats --no-stream --format '{{.Name}} {{.PIDS}}' $N | cut -d' ' -f1`},
	{"host names", `NET=podman run --rm --hostname h --add-host other:1.2.3.4 --dns 9.9.9.9 --dns-search example.com bb sh -c 'hostname; grep other /etc/hosts; grep -v ^# /etc/resolv.conf'; run --rm --sysctl net.ipv4.ip_forward=1 --sysctl net.ipv4.ping_group_range='0 5' bb cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ping_group_range; run --rm --umask 0077 bb sh -c umask; run --rm --init bb cat /proc/1/comm; run --rm --env-file /dev/null --workdir /tmp bb pwd; run --rm --device /dev/zero:/dev/other bb sh -c 'head -c 3 /dev/other | wc -c'`},
	{"bridge", `NET=podman; up $N; podman exec $N sh -c 'ip -4 -o addr show eth0 | wc -l; ip route | grep -c default'; echo served >f; run -d --name $N-web -p 127.0.0.1:18080:80 -v $X:/w:ro bb httpd -f -h /w >/dev/null; eventually busybox wget -q -O - http://127.0.0.1:18080/f; busybox wget -q -O - http://127.0.0.1:18080/f; podman exec $N wget -q -O - http://$(podman inspect -f '{{.NetworkSettings.IPAddress}}' $N-web)/f`},
	{"names on a network", `podman network create n-$N >/dev/null; NET=n-$N; echo served >f; run -d --name web-$N -v $X:/w:ro bb httpd -f -h /w >/dev/null; run --rm bb sh -c "i=0; until wget -q -O - http://web-$N/f; do i=\$((i+1)); [ \$i -lt 100 ] || exit 1; sleep 0.2; done"; podman rm -f -t 0 web-$N >/dev/null; podman network rm n-$N >/dev/null`},
	{"namespaces of another container", `NET=podman; up $N; podman run --rm --network container:$N bb sh -c 'ip -4 -o addr show eth0 | wc -l'; NET=none; run --rm --pid container:$N bb ps -o args | grep -x 'sleep 1000'; podman exec $N sh -c 'echo x >/dev/shm/f'; run --rm --ipc container:$N bb cat /dev/shm/f; run --rm --uts container:$N bb hostname | wc -c`},
	{"pod", `podman pod create --name p-$N >/dev/null; run() { podman run --pod p-$N "$@"; }; run -d --name $N bb sh -c 'echo x >/dev/shm/f; echo served | nc -l -p 7; sleep 1000' >/dev/null; eventually podman exec $N grep -q :0007 /proc/net/tcp /proc/net/tcp6; run --rm bb sh -c 'hostname; nc 127.0.0.1 7 </dev/null; cat /dev/shm/f; ps -o args | grep -cx "sleep 1000"'; podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'; podman pod stop -t 0 p-$N >/dev/null 2>&1; podman pod ps --format '{{.Status}}'; podman pod start p-$N >/dev/null; podman exec $N echo again; podman pod rm -f -t 0 p-$N >/dev/null 2>&1; podman ps -aq`},
	{"kube", `podman pod create --name p-$N >/dev/null; podman run -d --pod p-$N --name $N-a -e A=b bb sleep 1000 >/dev/null; podman run -d --pod p-$N --name $N-b bb sh -c 'while :; do nc -l -p 7 -e echo "$A" again; done' >/dev/null; podman generate kube p-$N >kube 2>/dev/null; grep -c 'image: localhost/bb' kube; podman pod rm -f -t 0 p-$N >/dev/null 2>&1; podman play kube kube >/dev/null; podman pod ps --format '{{.Name}} {{.Status}} {{.NumberOfContainers}}'; eventually podman exec p-$N-$N-a sh -c 'nc 127.0.0.1 7 </dev/null | grep again'; podman exec p-$N-$N-a sh -c 'echo $A; until nc 127.0.0.1 7 </dev/null 2>/dev/null | grep .; do sleep 0.1; done'; podman play kube --down kube >/dev/null 2>&1; podman pod ps -q`},
	{"restart policy and health", `run -d --name $N --restart on-failure:2 bb sh -c 'echo x; exit 1' >/dev/null; eventually sh -c "podman --root $STORE --runroot $RUN logs $N | wc -l | grep 3"; podman rm -f -t 0 $N >/dev/null; up $N --health-cmd 'test -e /ok' --health-interval disable; podman healthcheck run $N >/dev/null; echo $?; podman exec $N touch /ok; podman healthcheck run $N; echo $?`},
	{"inspect and events", `up $N; kill -0 $(podman inspect -f '{{.State.Pid}}' $N) && echo there; podman inspect -f '{{.State.Status}} {{.State.Running}} {{.OCIRuntime}}' $N; podman rename $N $N-new; podman ps --format '{{.Names}}'; podman events --stream=false --filter container=$N-new --filter event=start --format '{{.Status}}'; podman update --cpus 1 $N-new >/dev/null; echo $?`},
}

// TestNoWayIn has Podman enter the mount namespace of a sandbox, where nothing is. What it says
// must be an error, and the host's files must not be in the place of the container's.
func TestNoWayIn(t *testing.T) {
	root.prepare(t)
	got := root.script(t, "runsc", `up $N; echo in >f; podman cp f $N:/f 2>/dev/null; echo $?; podman cp $N:/etc/passwd . 2>/dev/null; echo $?; ls; podman top $N args 2>/dev/null; echo $?; podman exec $N ls /f 2>/dev/null; echo $?`)
	if want := "standard output:\n125\n125\nf\n125\n1\n\nstandard error:\n\nexit code 0\n"; got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}
