package docker

// limitsCases are of what a process may do and use.
var limitsCases = []sameCase{
	{"user", `run --rm -u 1000 bb sh -c 'id; touch /x; touch /tmp/x && ls -ln /tmp/x | tr -s " " | cut -d" " -f3,4'; run --rm -u user bb id; run --rm -u 5:6 --group-add 7 --group-add more bb id; run --rm -u nobody bb id`},
	{"capabilities", `run --rm bb grep ^Cap /proc/self/status; run --rm --cap-add NET_ADMIN bb grep ^Cap /proc/self/status; run --rm --cap-drop ALL bb grep ^Cap /proc/self/status; run --rm --cap-drop ALL --cap-add CHOWN bb sh -c 'chown 1 /tmp; chmod 0 /etc; grep ^Cap /proc/self/status'; run --rm --cap-drop CHOWN bb chown 1 /tmp; run --rm -u 1000 --cap-add NET_ADMIN bb grep ^Cap /proc/self/status`},
	{"no new privileges", `run --rm --security-opt no-new-privileges bb grep NoNewPrivs /proc/self/status; run --rm bb grep NoNewPrivs /proc/self/status`},
	{"seccomp profile", `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO","errnoRet":1},{"names":["chmod","fchmodat","fchmodat2"],"action":"SCMP_ACT_ERRNO","errnoRet":22,"args":[]}]}' >p; run --rm --security-opt seccomp=$X/p bb sh -c 'mkdir /x; chmod 700 /tmp; touch /y && echo fine; grep ^Seccomp: /proc/self/status'; run --rm --security-opt seccomp=unconfined bb sh -c 'mkdir /x && echo fine; grep ^Seccomp: /proc/self/status'; run --rm bb sh -c 'grep ^Seccomp: /proc/self/status; unshare -m true; mount -t tmpfs t /home'`},
	{"ulimit", `run --rm --ulimit nofile=77:99 --ulimit core=0 --ulimit nproc=55 bb sh -c 'ulimit -n; ulimit -Hn; ulimit -c; ulimit -p 2>/dev/null; grep -E "open files|processes" /proc/self/limits'`},
	{"cpus", `run --rm --cpus 0.5 bb true; run --rm --cpuset-cpus 0 bb sh -c 'nproc; grep Cpus_allowed_list /proc/self/status'; run --rm --cpu-shares 512 bb echo fine`},
	{"pids limit", `run --rm --pids-limit 10 bb sh -c 'i=0; while [ $i -lt 20 ]; do sleep 100 & i=$((i+1)); done; echo all' 2>&1 | tail -1`},
	{"oom score, umask", `run --rm --oom-score-adj 300 bb cat /proc/self/oom_score_adj; run --rm bb sh -c 'umask; cat /proc/self/oom_score_adj'`},
	{"cgroup files", `run --rm --memory 64m bb sh -c 'ls /sys/fs/cgroup | sort; cat /sys/fs/cgroup/memory/memory.limit_in_bytes'`},
	{"stats", `up $N --memory 100m; docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.PIDs}}' $N | sed 's/ [0-9.]*[a-zA-Z]* / USED /; s/[0-9]*$/PIDS/'; test $(docker stats --no-stream --format '{{.PIDs}}' $N) -gt 0 && echo some`},
	{"update", `up $N --memory 100m --memory-swap 200m; docker update --memory 150m --cpu-shares 300 $N; docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.CpuShares}}' $N; docker exec $N echo fine; p=$(docker inspect -f '{{.State.Pid}}' $N); g=$(grep :memory: /proc/$p/cgroup | cut -d: -f3); cat /sys/fs/cgroup/memory$g/memory.limit_in_bytes`},
	{"device", `run --rm --device /dev/null:/dev/mine bb sh -c 'echo x >/dev/mine && ls -l /dev/mine | tr -s " " | cut -c1-10; head -c1 /dev/mine | wc -c'`},
	{"sysctl", `run --rm --sysctl net.ipv4.ip_forward=1 bb cat /proc/sys/net/ipv4/ip_forward; run --rm --sysctl kernel.shmmax=12345678 bb cat /proc/sys/kernel/shmmax; run --rm --sysctl kernel.msgmnb=23456 bb cat /proc/sys/kernel/msgmnb`},
	// It sleeps because the shim asks for the group's events when the process runs already.
	{"out of memory", `run --name $N --memory 64m bb sh -c 'sleep 1; exec dd if=/dev/zero of=/dev/null bs=200M'; ended $N; run --name $N-2 --memory 64m bb sh -c 'tail /dev/zero; exit 3'; docker inspect -f '{{.State.ExitCode}}' $N-2`},
}
