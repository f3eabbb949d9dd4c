package docker

// worldCases are of what a container is told of its surroundings.
var worldCases = []sameCase{
	{"environment", `printf 'A=b\nC=d e\n# comment\nPATH\n' >e; run --rm --env-file e -e X=y -e HOME=/h bb env | grep -v HOSTNAME | grep -v ^PATH | sort`},
	{"working directory", `run --rm -w /tmp bb pwd; run --rm -w /new/dir bb pwd; run --rm -w /etc/passwd bb pwd 2>&1 | tail -1 | sed 's/.*cwd/cwd/'`},
	{"host name", `run --rm --hostname a.b.c bb sh -c 'hostname; cat /etc/hostname; uname -n'; run --rm --hostname h --domainname example.org bb sh -c 'cat /proc/sys/kernel/domainname'`},
	{"network none", `run --rm bb sh -c 'ip -o link | sed "s/ qdisc.*//" ; ip -4 -o addr | tr -s " " | cut -d" " -f2-4; ping -c1 -W1 127.0.0.1 | grep -c "1 packets received"'`},
	{"add host, dns", `NET=none; run --rm --add-host name:10.1.2.3 bb grep name /etc/hosts; run --rm --dns 10.9.8.7 --dns-search example.org bb grep -v '^#' /etc/resolv.conf`},
	{"ipc of a container", `run -d --name $N --ipc shareable bb sh -c 'echo shared >/dev/shm/f; sleep 1000' >/dev/null; eventually docker exec $N test -s /dev/shm/f; run --rm --ipc container:$N bb cat /dev/shm/f`},
	{"namespaces of the host", `run --rm --ipc host bb sh -c 'test -d /dev/shm && echo fine'; run --rm --uts host bb sh -c 'hostname'`},
	{"processes of a container", `up $N; run --rm --pid container:$N bb sh -c 'ps -o args | grep -c "sleep 100[0]"; cat /proc/1/comm; kill -TERM 1; echo $?; echo $$ | grep -c -x 1'; run -d --name $N-2 --pid container:$N bb sleep 1001 >/dev/null; eventually sh -c "docker exec $N ps -o args | grep 'sleep 100[1]'"; docker exec $N ps -o args | grep -c 'sleep 100[1]'; docker kill $N-2 >/dev/null; ended $N-2; docker exec $N true && echo lives`},
}
