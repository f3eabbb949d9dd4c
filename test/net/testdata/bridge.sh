# A bridge with three namespaces at its ports, and a network behind it that they reach by NAT.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run
ip link set lo up

echo "== a bridge"
ip link add br0 type bridge; ip link set br0 address 02:00:00:00:00:aa; ip link set br0 up; ip address add 10.2.0.254/24 dev br0
ip -br link show br0
for n in 1 2 3; do
	ip netns add N$n
	ip link add p$n type veth peer name eth0 netns N$n address 02:00:00:00:01:0$n
	ip link set p$n address 02:00:00:00:00:0$n; ip link set p$n master br0; ip link set p$n up
	ip -n N$n link set lo up; ip -n N$n address add 10.2.0.$n/24 dev eth0; ip -n N$n link set eth0 up; ip -n N$n route add default via 10.2.0.254
done
ip -br link
ip -o link show master br0 | cut -d' ' -f2,4-13
ping -q -c1 -W9 10.2.0.1 | grep -c "1 received"
ip netns exec N1 ping -q -c1 -W9 10.2.0.2 | grep -c "1 received"
ip netns exec N3 ping -q -c1 -W9 10.2.0.2 | grep -c "1 received"
ip netns exec N3 ping -q -c1 -W9 -s 4000 10.2.0.2 | grep -c "1 received"
ip -n N2 neigh | cut -d' ' -f1-5 | sort

echo "== what it has learned"
bridge link
bridge fdb show br br0 | grep -v "self\|vlan\|permanent" | sort
bridge fdb add 02:00:00:00:09:09 dev p1 master static; bridge fdb show br br0 | grep 09:09
bridge fdb add 02:00:00:00:09:09 dev p1 master static 2>/dev/null; echo $?
bridge fdb del 02:00:00:00:09:09 dev p1 master; bridge fdb del 02:00:00:00:09:09 dev p1 master 2>/dev/null; echo $?
ip link set br0 type bridge ageing_time 1000; ip -d link show br0 | grep -o "ageing_time [0-9]*"

echo "== connections between ports"
ip netns exec N1 iperf3 -s -1 -D; eventually sh -c 'ip netns exec N1 ss -Htln | grep -q :5201'
ip netns exec N3 iperf3 -c 10.2.0.1 -n 50M | grep -c receiver
ip netns exec N1 sh -c 'echo hello | nc -N -l -p 5000' & eventually sh -c 'ip netns exec N1 ss -Htln | grep -q :5000'
ip netns exec N2 nc -w 20 10.2.0.1 5000 </dev/null; wait

echo "== ports come and go"
ip link set p2 nomaster; ip netns exec N1 ping -q -c1 -W1 10.2.0.2 | grep -c "1 received"
ip link set p2 master br0; ip netns exec N1 ping -q -c1 -W9 10.2.0.2 | grep -c "1 received"
ip -n N2 link set eth0 down; ip -br link show p2; bridge fdb show br br0 | grep -c 01:02
ip -n N2 link set eth0 up; ip netns exec N1 ping -q -c1 -W9 10.2.0.2 | grep -c "1 received"
ip link set p1 master lo 2>/dev/null; echo $?; ip link set p1 master br0
ip link add br1 type bridge; ip link set br1 master br0 2>/dev/null; echo $?; ip link set br1 netns N1 2>/dev/null; echo $?; ip link del br1

echo "== options of ports"
flags() { bridge -d link show dev $1 | grep -oE "(hairpin|guard|learning|flood|isolated) [a-z]*"; }
flags p1; bridge link set dev p1 hairpin on isolated on learning on; bridge link set dev p2 isolated on; flags p1
ip netns exec N1 ping -q -c1 -W1 10.2.0.2 | grep -c "1 received"; ip netns exec N1 ping -q -c1 -W9 10.2.0.3 | grep -c "1 received"; ip netns exec N1 ping -q -c1 -W9 10.2.0.254 | grep -c "1 received"
ip link set p1 type bridge_slave hairpin off isolated off; flags p1; ip netns exec N1 ping -q -c1 -W9 10.2.0.2 | grep -c "1 received"
ip link set p2 nomaster; ip link set p2 master br0; flags p2
bridge link set dev lo hairpin on; bridge link set dev nosuch hairpin on; ip link set br0 type bridge_slave hairpin on

echo "== NAT"
ip netns add OUT; ip link add up0 type veth peer name eth0 netns OUT; ip address add 10.3.0.1/24 dev up0; ip link set up0 up
ip -n OUT address add 10.3.0.2/24 dev eth0; ip -n OUT link set eth0 up; ip -n OUT link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
iptables -t nat -A POSTROUTING -s 10.2.0.0/24 -o up0 -j MASQUERADE
iptables -t nat -A PREROUTING -i up0 -p tcp --dport 8080 -j DNAT --to-destination 10.2.0.1:80
ip netns exec N1 ping -q -c1 -W9 10.3.0.2 | grep -c "1 received"
SERVER='
import socket
s = socket.create_server(("", 80))
while True:
    c, a = s.accept(); c.recv(4096); c.sendall(("HTTP/1.0 200 OK\r\n\r\nyou are %s\n" % a[0]).encode()); c.close()
'
ip netns exec OUT python3 -uc "$SERVER" & server=$!
ip netns exec N1 python3 -uc "$SERVER" & inner=$!
for n in OUT N1; do eventually sh -c "ip netns exec $n ss -Htln | grep -q :80"; done
ip netns exec N3 curl -s --max-time 20 http://10.3.0.2/; ip netns exec OUT curl -s --max-time 20 http://10.3.0.1:8080/
kill $server $inner; wait 2>/dev/null

echo "== the end"
ip link del br0; ip -br link | sed 's/ [0-9a-f:]* </ </'
for n in N1 N2 N3 OUT; do ip netns del $n; done
eventually sh -c '! ip link show up0 >/dev/null 2>&1 && ! ip link show p3 >/dev/null 2>&1'
ip -br link
