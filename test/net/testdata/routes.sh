# What rtnetlink answers about ways and tells of changes, and what a refusal by the packet filter does
# to connections of a host to itself.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run
ip link set lo up
for conf in all default; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done
ip netns add A; ip netns exec A sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
ip link add v0 type veth peer name v1 netns A; ip link set v0 address 02:00:00:00:00:01; ip -n A link set v1 address 02:00:00:00:00:02
ip link set v0 up; ip -n A link set v1 up; ip address add 10.1.0.1/24 dev v0; ip -n A address add 10.1.0.2/24 dev v1

echo "== ways"
ip route add 10.5.0.0/16 via 10.1.0.2 table 100; ip route add 10.6.0.0/16 via 10.1.0.2 table 100 mtu 1400; ip route add default via 10.1.0.2
ip rule add fwmark 7 table 100
ip route get 10.5.0.1; ip route get 8.8.8.8
ip route get 10.6.0.1 mark 7; ip route get 10.6.0.1
ip route get 10.1.0.1; ip route get 127.0.0.1; ip route get 10.1.0.255
ip route get 10.5.0.1 oif v0; ip route get 10.5.0.1 from 10.1.0.1
ip route get 10.1.0.1 from 10.1.0.2 iif v0
ip route get fibmatch 10.1.0.2; ip route get fibmatch 10.6.0.1 mark 7
ip rule add to 10.7.0.0/16 prohibit; ip route get 10.7.0.1
ip rule add to 10.8.0.0/16 unreachable; ip route get 10.8.0.1
ip route add blackhole 10.9.0.0/16; ip route get 10.9.0.1
ip route get 10.1.0.1 iif nosuch

echo "== refused"
try='
import socket, sys
s = socket.socket(socket.AF_INET, int(sys.argv[1])); s.settimeout(20)
try:
    s.connect(("127.0.0.1", 99)); s.send(b"x"); s.recv(3)
except Exception as e: print(repr(e))'
for how in icmp-port-unreachable icmp-host-prohibited icmp-net-unreachable tcp-reset; do
	for chain in "INPUT -i" "OUTPUT -o"; do
		iptables -A $chain lo -p tcp --dport 99 -j REJECT --reject-with $how; python3 -c "$try" 1; iptables -F
	done
done
iptables -A INPUT -i lo -p udp --dport 99 -j REJECT; python3 -c "$try" 2; iptables -F

echo "== told"
ip -o monitor neigh address route link rule > /run/told & monitor=$!
# The first change that is told of shows that the monitor listens.
eventually sh -c 'ip rule add fwmark 99 table 100; ip rule del fwmark 99 table 100; [ -s /run/told ]'
ping -q -c1 -W9 10.1.0.2 | grep -c "1 received"
ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev v0; ip neigh del 10.1.0.9 dev v0
ip neigh flush dev v0
ip address add 10.4.0.1/24 dev v0; ip address del 10.4.0.1/24 dev v0
ip route add 10.99.0.0/16 via 10.1.0.2; ip route del 10.99.0.0/16
ip rule add fwmark 9 table 100; ip rule del fwmark 9 table 100
ip link set v0 mtu 1400; ip link set v0 name w0; ip link set w0 down
ip link del w0
eventually grep -q "^Deleted.*w0@" /run/told
kill $monitor; wait $monitor 2>/dev/null
# Linux derives the routes of an address in an order of its own, and knows no peer of a pair that goes.
sed '/fwmark 0x63/d; s/^Deleted \([0-9]*: w0\)@.*/Deleted \1/' /run/told | LC_ALL=C sort | uniq
ip netns del A
