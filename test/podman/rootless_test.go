package podman

import "testing"

func TestRootless(t *testing.T) { same(t, user, userCases) }

var userCases = []sameCase{
	{"run", `run --rm bb sh -c 'echo out; echo err >&2; id; touch /f; chown 1000 /f; ls -ln /f | tr -s " " | cut -d" " -f1-4; exit 4'; echo $?; id -u`},
	{"run -it", `echo 'echo $((40+2)); tty; exit 3' | run --rm -i bb sh; echo $?; run --rm -t bb tty`},
	{"detached", `up $N; podman exec $N sh -c 'id -u; exit 5'; echo $?; podman exec -u 1000 $N id -u; podman stop -t 1 $N >/dev/null; ended $N; podman rm $N >/dev/null; podman ps -aq`},
	{"volumes", `mkdir d; echo a >d/f; run --rm -v $X/d:/d bb sh -c 'cat /d/f; echo new >/d/g; id -u'; ls -ln d | tail -1 | tr -s " " | cut -d" " -f1-4; run --rm --user 1000 -v $X/d:/d bb sh -c 'touch /d/x; id -u'`},
	{"network", `NET=slirp4netns; run --rm bb sh -c 'ip -4 -o addr show tap0 | tr -s " " | cut -d" " -f2-4; ip route | grep -c default'`},
	{"pod", `podman pod create --name p-$N >/dev/null; podman run -d --pod p-$N --name $N bb sh -c 'echo x >/dev/shm/f; echo served | nc -l -p 7; sleep 1000' >/dev/null; eventually podman exec $N grep -q :0007 /proc/net/tcp /proc/net/tcp6; podman run --rm --pod p-$N bb sh -c 'hostname; nc 127.0.0.1 7 </dev/null; cat /dev/shm/f'; podman pod rm -f -t 0 p-$N >/dev/null 2>&1; podman ps -aq`},
	{"build", `printf 'FROM bb\nRUN echo x >/x && chown 5:6 /x\nCMD ["sh","-c","ls -ln /x | cut -c1-20; cat /x"]\n' >Dockerfile; podman build -q --network none -t img-$N . >/dev/null && run --rm img-$N; podman rmi -f img-$N >/dev/null`},
	{"keep-id", `run --rm --userns keep-id bb sh -c 'id -u; touch /tmp/f; ls -ln /tmp/f | tr -s " " | cut -d" " -f1-4'`},
}
