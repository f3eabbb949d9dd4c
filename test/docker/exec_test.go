package docker

// execCases are of further processes in a container.
var execCases = []sameCase{
	{"exec", `up $N; docker exec $N sh -c 'echo out; echo err >&2; id; exit 3'; echo $?; echo in | docker exec -i $N cat; docker exec $N nothing; echo $?; docker exec $N /etc/passwd; echo $?`},
	{"exec options", `up $N; docker exec -u 1000 $N id; docker exec -u user:more $N id; docker exec -w /tmp $N pwd; docker exec -e A=b -e C=d $N env | grep -E '^[AC]=';`},
	{"exec -t", `up $N; docker exec -t $N sh -c 'tty | tr -d 0-9; test -t 0 && echo terminal; stty -a | grep -o "rows.*columns [0-9]*"'; docker exec -t $N sh -c 'test -c $(tty) && echo there'`},
	{"exec -d", `up $N; docker exec -d $N sh -c 'echo x >/tmp/f; exec sleep 1001'; eventually docker exec $N test -s /tmp/f; docker exec $N cat /tmp/f; docker exec $N ps | grep -c 'sleep 1001'`},
	{"exec ended by a signal", `up $N; docker exec $N sh -c 'kill -9 $$'; echo $?; docker exec $N sh -c 'kill -15 $$'; echo $?`},
	{"exec in what has stopped", `up $N; docker kill $N >/dev/null; docker wait $N; docker exec $N true 2>&1 | sed 's/[0-9a-f]\{64\}/ID/'; echo $?`},
	{"top", `list() { docker top $N -o pid,comm,args | tail -n +2 | sed 's/^ *[0-9]* *//' | sort; }
run -d --name $N bb sh -c 'sleep 1001 & sleep 1002; true' >/dev/null; eventually sh -c "docker top $N | grep 'sleep 1001$'"; eventually sh -c "docker top $N | grep 'sleep 1002$'"; list; docker top $N | head -1
docker pause $N >/dev/null; docker top $N >/dev/null && echo paused; docker unpause $N >/dev/null; docker exec -d $N sleep 1003; eventually sh -c "docker top $N | grep 'sleep 1003$'"; list`},
	{"exit codes of exec", `up $N; for i in $(seq 0 15 255); do docker exec $N sh -c "exit $i"; echo $?; done`},
	{"many short execs", `up $N; for i in $(seq 12); do for j in 1 2 3 4; do docker exec $N sh -c "echo $i-$j >>/tmp/f; exit $j" & p="$p $!"; done; for k in $p; do wait $k; echo $?; done; p=; done; docker exec $N sort -V /tmp/f`},
}
