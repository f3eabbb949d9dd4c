package docker

import "testing"

// sameCases say the same with runc and with runsc.
var sameCases = []struct{ name, script string }{
	{"run", `run --rm bb sh -c 'echo out; echo err >&2; id; pwd; hostname | wc -c'`},
	{"run -i", `printf 'a\nb\n' | run --rm -i bb sh -c 'cat; echo end'`},
	{"run -t", `run --rm -t bb sh -c 'tty; test -t 0 && test -t 1 && test -t 2 && echo terminal; ls -l /dev/console | cut -c1-10; echo x'`},
	{"run -d", `run -d --name $N bb sh -c 'echo one; echo two >&2; exit 4' >/dev/null; ended $N; docker logs $N`},
	{"run --rm", `run --rm --name $N bb true; docker inspect $N 2>&1 | tail -1`},
	{"exit codes", `for i in 0 1 2 42 125 126 127 128 254 255; do run --rm bb sh -c "exit $i"; echo $?; done`},
	{"ended by a signal", `for s in 1 2 6 9 11 15; do run --rm bb sh -c "trap - $s; sh -c 'kill -$s \$PPID' & sleep 2"; echo $?; run --rm --init bb sh -c "kill -$s \$\$; sleep 2"; echo $?; done 2>&1`},
	{"no such program", `run --rm bb nothing; echo $?; run --rm bb /nothing; echo $?; run --rm bb /etc/passwd; echo $?; run --rm bb /etc; echo $?`},
	{"entry point", `run --rm --entrypoint /bin/echo bb a b; run --rm --entrypoint sh bb -c 'echo $0'`},
	{"exec", `up $N; docker exec $N sh -c 'echo out; echo err >&2; id; exit 3'; echo $?; echo in | docker exec -i $N cat; docker exec $N nothing; echo $?; docker exec $N /etc/passwd; echo $?`},
	{"exec options", `up $N; docker exec -u 1000 $N id; docker exec -u user:more $N id; docker exec -w /tmp $N pwd; docker exec -e A=b -e C=d $N env | grep -E '^[AC]=';`},
	{"exec -t", `up $N; docker exec -t $N sh -c 'tty; test -t 0 && echo terminal'; sleep 0.5; docker exec -t $N sh -c 'tty'`},
	{"exec -d", `up $N; docker exec -d $N sh -c 'echo x >/tmp/f; sleep 1000'; eventually docker exec $N test -s /tmp/f; docker exec $N cat /tmp/f; docker exec $N ps | grep -c 'sleep 1000'`},
	{"exec ended by a signal", `up $N; docker exec $N sh -c 'kill -9 $$'; echo $?; docker exec $N sh -c 'kill -15 $$'; echo $?`},
	{"exec in what has stopped", `up $N; docker kill $N >/dev/null; docker wait $N; docker exec $N true 2>&1 | sed 's/[0-9a-f]\{64\}/ID/'; echo $?`},
	{"logs", `run -d --name $N bb sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done' >/dev/null; docker logs -f $N; docker logs --tail 1 $N`},
	{"stop", `run -d --name $N bb sh -c 'trap "echo stopping; exit 7" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null; eventually sh -c "docker logs $N | grep ready"; docker stop $N; ended $N; docker logs $N`},
	{"stop by force", `up $N; docker stop -t 1 $N; ended $N`},
	{"stop signal", `run -d --name $N --stop-signal USR1 bb sh -c 'trap "exit 9" USR1; echo ready; while :; do sleep 0.1; done' >/dev/null; eventually sh -c "docker logs $N | grep ready"; docker stop $N; ended $N`},
	{"kill", `up $N; docker kill $N; ended $N`},
	{"kill -s", `run -d --name $N bb sh -c 'trap "echo hup" HUP; trap "exit 3" USR1; echo ready; while :; do sleep 0.1; done' >/dev/null; eventually sh -c "docker logs $N | grep ready"; docker kill -s HUP $N; eventually sh -c "docker logs $N | grep hup"; docker kill -s USR1 $N; ended $N`},
	{"kill what has stopped", `up $N; docker kill $N >/dev/null; docker wait $N; docker kill $N 2>&1 | sed 's/[0-9a-f]\{64\}/ID/'`},
	{"restart", `up $N; docker exec $N sh -c 'echo kept >/f; echo gone >/dev/shm/f'; docker restart -t 0 $N; docker exec $N cat /f; docker exec $N cat /dev/shm/f`},
	{"start again", `run --name $N bb sh -c 'echo x >>/f; cat /f'; docker start -a $N; docker start -a $N; echo $?`},
	{"create and start", `create --name $N -i bb cat >/dev/null; docker inspect -f '{{.State.Status}}' $N; echo hello | docker start -ai $N`},
	{"restart policy", `run -d --name $N --restart on-failure:2 bb sh -c 'echo x; exit 1' >/dev/null; eventually sh -c "docker logs $N | wc -l | grep 3"; eventually sh -c "docker inspect -f '{{.State.Status}}' $N | grep exited"; docker inspect -f '{{.RestartCount}}' $N`},
	{"cp", `up $N; echo in >f; mkdir -p d/e; echo deep >d/e/f; docker cp f $N:/tmp/f; docker cp d $N:/; docker exec $N sh -c 'cat /tmp/f /d/e/f; echo out >/tmp/out; echo more >>/tmp/f; ln -s out /tmp/link; mkdir -p /o/p; echo x >/o/p/q'; docker cp $N:/tmp/out .; docker cp $N:/tmp/f g; docker cp $N:/o .; cat out g o/p/q; docker cp $N:/tmp/link - | tar t`},
	{"cp over what was read", `up $N; docker exec $N sh -c 'ls /tmp; test -e /tmp/f || echo not yet; ls /etc >/dev/null; cat /etc/passwd | wc -l'; echo 1 >f; docker cp f $N:/tmp/f; docker exec $N sh -c 'ls /tmp; cat /tmp/f'; echo 22 >f; docker cp f $N:/tmp/f; docker cp f $N:/etc/passwd; docker exec $N sh -c 'cat /tmp/f /etc/passwd; ls -l /tmp/f | cut -c1-10'`},
	{"cp of what has stopped", `run --name $N bb sh -c 'echo x >/f; mkdir /d; echo y >/d/g'; docker cp $N:/f .; docker cp $N:/d .; cat f d/g; echo z >n; docker cp n $N:/n; docker cp $N:/n - | tar xO`},
	{"diff", `run --name $N bb sh -c 'echo x >/new; rm /etc/group; echo y >>/etc/passwd; mkdir -p /d/e; touch /d/e/f; mv /home /moved; rm -r /var'; docker diff $N | sort`},
	{"diff of what runs", `up $N; docker exec $N sh -c 'echo x >/new; rm /etc/group'; docker diff $N | sort`},
	{"commit", `run --name $N bb sh -c 'echo x >/new; rm /etc/group; ln /new /hard; ln -s new /soft; mknod /fifo p; chmod 4711 /new; chown 1:2 /fifo'; docker commit $N img-$N >/dev/null; run --rm img-$N sh -c 'cat /new /hard /soft; ls -l /new /hard /soft /fifo | cut -c1-24; ls /etc'; docker rmi img-$N >/dev/null`},
	{"build", `printf 'FROM bb\nRUN echo x >/x && echo built:x:77:77::/:/bin/sh >>/etc/passwd && id built\nRUN cat /x >>/y; mkdir -p /a/b; touch -d 2001-02-03 /a/b\nENV E=f\nWORKDIR /a\nUSER built\nCOPY f /f\nCMD ["sh","-c","id -un; pwd; cat /x /y /f; env | grep ^E; stat -c %%y /a/b | cut -c1-10"]\n' >Dockerfile; echo copied >f; DOCKER_BUILDKIT=0 docker build -q -t img-$N . >/dev/null && run --rm img-$N; docker rmi -f img-$N >/dev/null`},
	{"bind mounts", `mkdir d; echo a >d/f; chmod 777 d; run --rm -v $X/d:/d bb sh -c 'cat /d/f; echo new >/d/g; ls /d; rm /d/f'; ls d; cat d/g; run --rm -v $X/d:/d:ro bb sh -c 'touch /d/x; cat /d/g'; run --rm -v $X/d/g:/file bb sh -c 'cat /file; echo more >>/file'; cat d/g; run --rm --mount type=bind,src=$X/d,dst=/e/f,readonly bb ls /e/f`},
	{"bind mount that the host changes", `mkdir d; up $N -v $X/d:/d; docker exec $N ls /d; echo 1 >d/f; docker exec $N cat /d/f; echo 22 >d/f; docker exec $N cat /d/f; rm d/f; docker exec $N ls /d; docker exec $N sh -c 'echo in >/d/g'; cat d/g`},
	{"volumes", `docker volume create v-$N >/dev/null; run --rm -v v-$N:/v bb sh -c 'echo kept >/v/f'; run --rm -v v-$N:/v bb cat /v/f; run --rm -v v-$N:/v:ro bb touch /v/g; run --rm -v /etc bb ls /etc; docker volume rm v-$N >/dev/null; run --name $N -v /anonymous bb sh -c 'echo x >/anonymous/f'; run --rm --volumes-from $N bb cat /anonymous/f`},
	{"tmpfs", `run --rm --tmpfs /t:size=1m,mode=1770,uid=1000 bb sh -c 'stat -c "%a %u" /t; dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || echo full; grep " /t " /proc/mounts; touch /t/x'; run --rm --shm-size 2m bb sh -c 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'`},
	{"read-only", `run --rm --read-only bb sh -c 'touch /x; touch /etc/x; touch /dev/shm/x && echo fine'; run --rm --read-only --tmpfs /run bb sh -c 'touch /run/x && echo fine'`},
	{"user", `run --rm -u 1000 bb sh -c 'id; touch /x; touch /tmp/x && ls -ln /tmp/x | tr -s " " | cut -d" " -f3,4'; run --rm -u user bb id; run --rm -u 5:6 --group-add 7 --group-add more bb id; run --rm -u nobody bb id`},
	{"capabilities", `run --rm bb grep ^Cap /proc/self/status; run --rm --cap-add NET_ADMIN bb grep ^Cap /proc/self/status; run --rm --cap-drop ALL bb grep ^Cap /proc/self/status; run --rm --cap-drop ALL --cap-add CHOWN bb sh -c 'chown 1 /tmp; chmod 0 /etc; grep ^Cap /proc/self/status'; run --rm --cap-drop CHOWN bb chown 1 /tmp; run --rm -u 1000 --cap-add NET_ADMIN bb grep ^Cap /proc/self/status`},
	{"no new privileges", `run --rm --security-opt no-new-privileges bb grep NoNewPrivs /proc/self/status; run --rm bb grep NoNewPrivs /proc/self/status`},
	{"seccomp profile", `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1},{"names":["chmod","fchmodat","fchmodat2"],"action":"SCMP_ACT_ERRNO","errnoRet":22,"args":[]}]}' >p; run --rm --security-opt seccomp=$X/p bb sh -c 'mkdir /x; chmod 700 /tmp; touch /y && echo fine; grep ^Seccomp: /proc/self/status'; run --rm --security-opt seccomp=unconfined bb sh -c 'mkdir /x && echo fine; grep ^Seccomp: /proc/self/status'; run --rm bb sh -c 'grep ^Seccomp: /proc/self/status; unshare -m true; mount -t tmpfs t /home'`},
	{"ulimit", `run --rm --ulimit nofile=77:99 --ulimit core=0 --ulimit nproc=55 bb sh -c 'ulimit -n; ulimit -Hn; ulimit -c; ulimit -p 2>/dev/null; grep -E "open files|processes" /proc/self/limits'`},
	{"memory limit", `run --name $N --memory 64m bb sh -c 'tr "\0" x </dev/zero | head -c 400m | sort >/dev/null; echo survived'; docker inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' $N | tee; docker inspect -f '{{.HostConfig.Memory}}' $N`},
	{"cpus", `run --rm --cpus 0.5 bb true; run --rm --cpuset-cpus 0 bb sh -c 'nproc; grep Cpus_allowed_list /proc/self/status'; run --rm --cpu-shares 512 bb echo fine`},
	{"pids limit", `run --rm --pids-limit 10 bb sh -c 'i=0; while [ $i -lt 20 ]; do sleep 5 & i=$((i+1)); done; echo all' 2>&1 | tail -1`},
	{"environment", `printf 'A=b\nC=d e\n# comment\nPATH\n' >e; run --rm --env-file e -e X=y -e HOME=/h bb env | grep -v HOSTNAME | grep -v ^PATH | sort`},
	{"working directory", `run --rm -w /tmp bb pwd; run --rm -w /new/dir bb pwd; run --rm -w /etc/passwd bb pwd 2>&1 | tail -1 | sed 's/.*cwd/cwd/'`},
	{"host name", `run --rm --hostname a.b.c bb sh -c 'hostname; cat /etc/hostname; uname -n'; run --rm --hostname h --domainname example.org bb sh -c 'cat /proc/sys/kernel/domainname'`},
	{"init", `run --rm --init bb sh -c 'cat /proc/1/comm; (sleep 0.1 &); sleep 0.5; ps | grep -c Z'; run --rm --init bb sh -c 'exit 6'; echo $?`},
	{"health check", `run -d --name $N --health-cmd 'test -e /tmp/ok' --health-interval 0.2s --health-retries 1 bb sleep 1000 >/dev/null; eventually sh -c "docker inspect -f '{{.State.Health.Status}}' $N | grep unhealthy" && echo unhealthy; docker exec $N touch /tmp/ok; eventually sh -c "docker inspect -f '{{.State.Health.Status}}' $N | grep -x healthy" && echo healthy`},
	{"stats", `up $N --memory 100m; docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' $N | sed 's/ [0-9.]*[a-zA-Z]* / USED /; s/[0-9]*$/PIDS/'; test $(docker stats --no-stream --format '{{.PIDs}}' $N) -gt 0 && echo some`},
	{"top", `run -d --name $N bb sh -c 'sleep 1001 & sleep 1002; true' >/dev/null; eventually docker exec $N pidof sleep; docker top $N -o pid,args | tail -n +2 | sed 's/^ *[0-9]* *//' | sort`},
	{"pause", `run -d --name $N bb sh -c 'i=0; while :; do i=$((i+1)); echo $i >/tmp/n; sleep 0.05; done' >/dev/null; eventually docker exec $N test -s /tmp/n; docker pause $N; docker inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.Running}}' $N; docker exec $N true 2>&1 | sed 's/[0-9a-f]\{64\}/ID/'; docker cp $N:/tmp/n a; sleep 0.3; docker cp $N:/tmp/n b; cmp a b && echo still; docker unpause $N; docker inspect -f '{{.State.Status}}' $N; sleep 0.3; docker exec $N cat /tmp/n >c; cmp -s b c || echo moving`},
	{"kill of what is paused", `up $N; docker pause $N >/dev/null; docker kill $N; ended $N; up $N-2; docker pause $N-2 >/dev/null; docker rm -f $N-2`},
	{"update", `up $N --memory 100m --memory-swap 200m; docker update --memory 150m --cpu-shares 300 $N; docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.CpuShares}}' $N; docker exec $N echo fine; p=$(docker inspect -f '{{.State.Pid}}' $N); g=$(grep :memory: /proc/$p/cgroup | cut -d: -f3); cat /sys/fs/cgroup/memory$g/memory.limit_in_bytes`},
	{"inspect", `up $N; p=$(docker inspect -f '{{.State.Pid}}' $N); test -d /proc/$p && echo there; docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.State.Dead}}' $N; docker kill $N >/dev/null; ended $N; docker inspect -f '{{.State.Pid}}' $N; test -d /proc/$p || echo gone`},
	{"wait", `run -d --name $N bb sh -c 'sleep 0.5; exit 8' >/dev/null; docker wait $N; docker wait $N`},
	{"events", `docker events --filter container=$N --format '{{.Action}}' >e & p=$!; sleep 0.5; run --name $N bb true; docker rm $N >/dev/null; eventually grep destroy e; kill $p; cat e`},
	{"rename", `up $N; docker rename $N $N-new; docker exec $N-new echo fine; docker ps --format '{{.Names}} {{.Status}}' | sed 's/Up .*/Up/'`},
	{"attach", `run -d -i --name $N bb sh -c 'read x; echo got $x; exit 2' >/dev/null; (sleep 0.5; echo hello; sleep 1) | docker attach $N; echo $?`},
	{"network none", `run --rm bb sh -c 'ip -o link | sed "s/ qdisc.*//" ; ip -4 -o addr | tr -s " " | cut -d" " -f2-4; ping -c1 -W1 127.0.0.1 | grep -c "1 packets received"'`},
	{"add host, dns", `NET=none; run --rm --add-host name:10.1.2.3 bb grep name /etc/hosts; run --rm --dns 10.9.8.7 --dns-search example.org bb grep -v '^#' /etc/resolv.conf`},
	{"sysctl", `run --rm --sysctl net.ipv4.ip_forward=1 bb cat /proc/sys/net/ipv4/ip_forward; run --rm --sysctl kernel.shmmax=12345678 bb cat /proc/sys/kernel/shmmax; run --rm --sysctl kernel.msgmnb=23456 bb cat /proc/sys/kernel/msgmnb`},
	{"device", `run --rm --device /dev/null:/dev/mine bb sh -c 'echo x >/dev/mine && ls -l /dev/mine | tr -s " " | cut -c1-10; head -c1 /dev/mine | wc -c'`},
	{"ipc of a container", `run -d --name $N --ipc shareable bb sh -c 'echo shared >/dev/shm/f; sleep 1000' >/dev/null; eventually docker exec $N test -s /dev/shm/f; run --rm --ipc container:$N bb cat /dev/shm/f`},
	{"labels, large output", `run --rm bb sh -c 'head -c 3000000 /dev/zero | tr "\0" x' | md5sum; head -c 3000000 /dev/zero | run --rm -i bb md5sum`},
	{"oom score, umask", `run --rm --oom-score-adj 300 bb cat /proc/self/oom_score_adj; run --rm bb sh -c 'umask; cat /proc/self/oom_score_adj'`},
	{"many at once", `for i in 1 2 3 4 5 6; do run --rm bb sh -c "sleep 0.1; exit $i" & p="$p $!"; done; for i in $p; do wait $i; echo $?; done`},
	{"mounts", `run --rm bb sh -c 'cut -d" " -f2,3 /proc/mounts | grep -E -v "^/(sys/fs/cgroup|proc/(acpi|bus|fs|irq|keys|timer_list))" | sort'; run --rm bb sh -c 'touch /proc/sysrq-trigger; echo x >/proc/sysrq-trigger; cat /proc/kcore | wc -c; ls /sys/firmware'`},
	{"cgroup files", `run --rm --memory 64m bb sh -c 'ls /sys/fs/cgroup | sort; cat /sys/fs/cgroup/memory/memory.limit_in_bytes'`},
}

// open are the cases that are not the same yet, and what is missing.
var open = map[string]string{
	"sysctl":                "kernel.shmmax and kernel.msgmnb are fixed in the sandbox",
	"cp":                    "what docker cp brings into a directory that the sandbox has read is not seen",
	"cp over what was read": "what docker cp brings into a directory that the sandbox has read is not seen",
	"top":                   "the host's processes of the sandbox do not have the names of those inside",
	"cgroup files":          "there is no control group file system in the sandbox",
}

func TestSame(t *testing.T) {
	for _, c := range sameCases {
		t.Run(c.name, func(t *testing.T) {
			if why := open[c.name]; why != "" {
				t.Skip(why)
			}
			want := script(t, "runc", c.script)
			if got := script(t, "runsc", c.script); got != want {
				t.Errorf("runsc:\n%s\nrunc:\n%s", got, want)
			}
		})
	}
}
