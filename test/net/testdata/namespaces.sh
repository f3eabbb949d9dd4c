# Network namespaces as iproute2, nsenter and unshare use them.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run
own() { readlink /proc/self/ns/net; }

echo "== names"
ip netns add A; ip netns add B; ip netns add A 2>/dev/null; echo $?
ip netns list | sort
stat -f -c %T /run/netns/A
[ "net:[$(stat -c %i /run/netns/A)]" = "$(ip netns exec A readlink /proc/self/ns/net)" ]; echo $?
[ "$(own)" = "$(ip netns exec A readlink /proc/self/ns/net)" ]; echo $?
grep -c "/run/netns/[AB] .* nsfs nsfs " /proc/self/mountinfo
sed -n 's/.* \(net:\)\[[0-9]*\] \(.*\/run\/netns\/[AB]\) \([a-z,]*\) .*- \(nsfs .*\)/\1 \3 \4/p' /proc/self/mountinfo
readlink /proc/self/fd/9 9</run/netns/A
rm /run/netns/A 2>/dev/null; echo $?
ip netns exec A sleep 1000 & sleeper=$!
eventually sh -c '[ -n "$(ip netns pids A)" ]'
[ "$(ip netns pids A)" = "$sleeper" ]; echo $?
[ "$(ip netns identify $sleeper)" = A ]; echo $?
kill $sleeper; wait $sleeper 2>/dev/null

echo "== a new namespace"
for show in link address route rule neigh; do ip -n A $show show; done
ip netns exec A sh -c 'wc -l < /proc/net/dev; cat /proc/net/route /proc/net/tcp; ls /proc/sys/net/ipv4/conf'
ip netns exec A iptables-save; ip netns exec A ss -Htuna
ip netns exec A ping -c1 -W1 127.0.0.1 2>/dev/null; echo $?
ip -n A link set lo up; ip -n A address show lo
ip netns exec A ping -q -c1 -W9 127.0.0.1 | grep -c "1 received"

echo "== parameters"
cat /proc/sys/net/ipv4/ip_local_port_range
ip netns exec A sh -c 'echo "5000 6000" > /proc/sys/net/ipv4/ip_local_port_range; cat /proc/sys/net/ipv4/ip_local_port_range'
cat /proc/sys/net/ipv4/ip_local_port_range

echo "== a pair"
ip link add v0 type veth peer name v1 netns A
ip -o link show v0 | sed 's/link.*//'; ip -n A -o link show v1 | sed 's/link.*//'
ip link set v0 up; ip -br link show v0 | sed 's/ [0-9a-f:]* </ </'
ip -n A link set v1 up; ip -br link show v0 | sed 's/ [0-9a-f:]* </ </'
ip address add 10.1.0.1/24 dev v0; ip -n A address add 10.1.0.2/24 dev v1
ip route; ip -n A route
ping -q -c1 -W9 10.1.0.2 | grep -c "1 received"
ip netns exec A ping -q -c1 -W9 10.1.0.1 | grep -c "1 received"
ip netns list | sort; ip netns list-id

echo "== numbers"
# It complains of what is gone before it has asked for its name.
ip -o monitor nsid > /run/told 2>/dev/null & monitor=$!
ip netns add C; ip netns add D
# The first change that is told of shows that the monitor listens.
eventually sh -c '{ ip netns del D; ip netns add D; ip netns set D 99; } 2>/dev/null; [ -s /run/told ]'
ip netns set C 7; ip netns set C 8 2>/dev/null; echo $?; ip netns set A 7 2>/dev/null; echo $?
ip netns list-id nsid 7; ip netns list-id nsid 9 2>/dev/null; echo $?
ip netns del C; eventually grep -q "Deleted nsid 7" /run/told; ip netns list-id nsid 7 2>/dev/null; echo $?
kill $monitor; wait $monitor 2>/dev/null; grep -w 7 /run/told; ip netns del D

echo "== moved"
ip link set v0 netns B
ip link show v0 2>/dev/null; echo $?
ip -n B -br link show v0 | sed 's/ [0-9a-f:]* </ </'; ip -n B -br address show v0
ip -n B link set v0 up; ip -n B address add 10.1.0.3/24 dev v0
ip netns exec B ping -q -c1 -W9 10.1.0.2 | grep -c "1 received"
ip -n B link set v0 name w0; ip -n B -br link show w0 | sed 's/ [0-9a-f:]* </ </'
ip -n B link set w0 netns A name eth0; eventually sh -c 'ip -n A -br link show v1 | grep -q LOWERLAYERDOWN'; ip -n A -br link | sed 's/ [0-9a-f:]* </ </' | sort
ip -n A link set lo netns B 2>/dev/null; echo $?
ip link set lo netns 99999 2>/dev/null; echo $?
ip -n B link add v1 type veth peer name eth1; ip -n B link set v1 netns A 2>/dev/null; echo $?
ip -n A link del eth0; ip -n A -br link | sed 's/ [0-9a-f:]* </ </'

echo "== by a process"
sleep 1000 & sleeper=$!
unshare -n sleep 1000 & other=$!
eventually sh -c "[ \"\$(readlink /proc/$sleeper/ns/net)\" != \"\$(readlink /proc/$other/ns/net)\" ]"
ip link add p0 type veth peer name p1 netns $other; ip link set lo netns $sleeper 2>/dev/null; echo $?
nsenter -t $other -n ip -br link | sed 's/ [0-9a-f:]* </ </'
nsenter -t $other -a true; echo $?
nsenter -t $other -n sh -c 'echo 1 > /proc/sys/net/ipv4/conf/p1/rp_filter; cat /proc/sys/net/ipv4/conf/p1/rp_filter'; ls /proc/sys/net/ipv4/conf/p1 2>/dev/null; echo $?
kill $sleeper $other; wait 2>/dev/null
# A pair goes with either end's namespace.
eventually sh -c '! ip link show p0 >/dev/null 2>&1'
ip -br link show p0 2>/dev/null; echo $?

echo "== bound elsewhere"
touch /run/keep; unshare --net=/run/keep ip link set lo up
nsenter --net=/run/keep ip -br link
mount --bind /run/keep /run/netns/B; ip -n B -br link; umount /run/netns/B
umount /run/keep; nsenter --net=/run/keep true 2>/dev/null; echo $?

echo "== without privileges"
unshare -Ur nsenter --net=/run/netns/A true 2>/dev/null; echo $?
unshare -Ur ip link set lo up 2>/dev/null; echo $?
unshare -Ur sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward' 2>/dev/null; echo $?
unshare -Urn sh -c 'ip link set lo up && ip -br link; echo 1 > /proc/sys/net/ipv4/ip_forward; cat /proc/sys/net/ipv4/ip_forward; stat -c %u:%g /proc/sys/net/ipv4/ip_forward'
unshare -UrnmpfiuC --mount-proc sh -c 'ip -br link; set -- /proc/[0-9]*; echo $#; for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done | sort -u | wc -l; hostname inner; hostname'

echo "== data that is still to be sent"
ip netns add E; ip link add e0 type veth peer name e1 netns E
ip address add 10.5.0.1/24 dev e0; ip link set e0 up; ip -n E address add 10.5.0.2/24 dev e1; ip -n E link set e1 up
python3 - <<'END'
import socket, subprocess
client = """
import socket, sys
s = socket.create_connection(("10.5.0.1", int(sys.argv[1])))
s.setblocking(False)
sent = 0
try:
    while True:
        sent += s.send(b"x" * 65536)
except BlockingIOError:
    print(sent)
"""
l = socket.create_server(("10.5.0.1", 0))
sent = subprocess.run(["ip", "netns", "exec", "E", "python3", "-c", client, str(l.getsockname()[1])], capture_output=True).stdout
subprocess.run(["ip", "netns", "del", "E"])
c, _ = l.accept()
got = 0
while b := c.recv(65536):
    got += len(b)
print(got == int(sent), got > 65536)
END
eventually sh -c '! ip link show e0 >/dev/null 2>&1'

echo "== the end"
ip netns del A; ip netns del B; ip netns list; ls /run/netns; grep -c "/run/netns/[AB] .* nsfs nsfs " /proc/self/mountinfo || true
