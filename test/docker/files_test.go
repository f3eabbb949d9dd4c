package docker

// filesCases are of what is in the container's files, and who sees it.
var filesCases = []sameCase{
	{"cp", `up $N; echo in >f; mkdir -p d/e; echo deep >d/e/f; docker cp f $N:/tmp/f; docker cp d $N:/; docker exec $N sh -c 'cat /tmp/f /d/e/f; echo out >/tmp/out; echo more >>/tmp/f; ln -s out /tmp/link; mkdir -p /o/p; echo x >/o/p/q'; docker cp $N:/tmp/out .; docker cp $N:/tmp/f g; docker cp $N:/o .; cat out g o/p/q; docker cp $N:/tmp/link - | tar t`},
	{"cp over what was read", `up $N; docker exec $N sh -c 'ls /tmp; test -e /tmp/f || echo not yet; ls /etc >/dev/null; cat /etc/passwd | wc -l'; echo 1 >f; docker cp f $N:/tmp/f; docker exec $N sh -c 'ls /tmp; cat /tmp/f'; echo 22 >f; docker cp f $N:/tmp/f; docker cp f $N:/etc/passwd; docker exec $N sh -c 'cat /tmp/f /etc/passwd; ls -l /tmp/f | cut -c1-10'`},
	{"cp of what has stopped", `run --name $N bb sh -c 'echo x >/f; mkdir /d; echo y >/d/g'; docker cp $N:/f .; docker cp $N:/d .; cat f d/g; echo z >n; docker cp n $N:/n; docker cp $N:/n - | tar xO`},
	{"diff", `run --name $N bb sh -c 'echo x >/new; rm /etc/group; echo y >>/etc/passwd; mkdir -p /d/e; touch /d/e/f; mv /home /moved; rm -r /var'; docker diff $N | sort`},
	{"diff of what runs", `up $N; docker exec $N sh -c 'echo x >/new; rm /etc/group'; docker diff $N | sort`},
	{"commit", `run --name $N bb sh -c 'echo x >/new; rm /etc/group; ln /new /hard; ln -s new /soft; mknod /fifo p; chmod 4711 /new; chown 1:2 /fifo'; docker commit $N img-$N >/dev/null; run --rm img-$N sh -c 'cat /new /hard /soft; ls -l /new /hard /soft /fifo | cut -c1-24; ls /etc'; docker rmi img-$N >/dev/null`},
	{"bind mounts", `mkdir d; echo a >d/f; chmod 777 d; run --rm -v $X/d:/d bb sh -c 'cat /d/f; echo new >/d/g; ls /d; rm /d/f'; ls d; cat d/g; run --rm -v $X/d:/d:ro bb sh -c 'touch /d/x; cat /d/g'; run --rm -v $X/d/g:/file bb sh -c 'cat /file; echo more >>/file'; cat d/g; run --rm --mount type=bind,src=$X/d,dst=/e/f,readonly bb ls /e/f`},
	{"bind mount that the host changes", `mkdir d; up $N -v $X/d:/d; docker exec $N ls /d; echo 1 >d/f; docker exec $N cat /d/f; echo 22 >d/f; docker exec $N cat /d/f; rm d/f; docker exec $N ls /d; docker exec $N sh -c 'echo in >/d/g'; cat d/g`},
	{"volumes", `docker volume create v-$N >/dev/null; run --rm -v v-$N:/v bb sh -c 'echo kept >/v/f'; run --rm -v v-$N:/v bb cat /v/f; run --rm -v v-$N:/v:ro bb touch /v/g; run --rm -v /etc bb ls /etc; docker volume rm v-$N >/dev/null; run --name $N -v /anonymous bb sh -c 'echo x >/anonymous/f'; run --rm --volumes-from $N bb cat /anonymous/f`},
	{"tmpfs", `run --rm --tmpfs /t:size=1m,mode=1770,uid=1000 bb sh -c 'stat -c "%a %u" /t; dd if=/dev/zero of=/t/f bs=1k count=2000 2>/dev/null || echo full; grep " /t " /proc/mounts; touch /t/x'; run --rm --shm-size 2m bb sh -c 'df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2'`},
	{"read-only", `run --rm --read-only bb sh -c 'touch /x; touch /etc/x; touch /dev/shm/x && echo fine'; run --rm --read-only --tmpfs /run bb sh -c 'touch /run/x && echo fine'`},
	{"mounts", `run --rm bb sh -c 'cut -d" " -f2,3 /proc/mounts | grep -E -v "^/(sys/fs/cgroup|proc/(acpi|bus|fs|irq|keys|timer_list))" | sort'; run --rm bb sh -c 'touch /proc/sysrq-trigger; echo x >/proc/sysrq-trigger; cat /proc/kcore | wc -c; ls /sys/firmware'`},
	{"large output", `run --rm bb sh -c 'head -c 3000000 /dev/zero | tr "\0" x' | md5sum; head -c 3000000 /dev/zero | run --rm -i bb md5sum`},
}
