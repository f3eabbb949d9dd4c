# Devices of type macvlan upon a veth, in each mode, and as a CNI plugin sets them up: in namespaces of their own.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run; export TMPDIR=/run
for conf in all default; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done
for n in A B C; do ip netns add $n; ip netns exec $n sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'; ip -n $n link set lo up; done
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns A address 02:00:00:00:00:02
ip address add 10.1.0.1/24 dev v0; ip -n A address add 10.1.0.2/24 dev v1
# Linux works out the operational state (RFC 2863) a while after the flags have changed.
state() { for d; do ip -br link show "$d" | awk '{ print $1, $3, $4 }'; done; }
# What differs from one version of Linux or of iproute2 to the next is left out.
detail() { ip -d link show "$@" | sed -E 's/^[0-9]+: //; s/if[0-9]+/if/; s/ state [A-Z]+//; s/ (addrgenmode|gso_|numtx|tso_).*//; s/ +$//'; }
reaches() { ip netns exec "$1" ping -q -c1 -W"${3:-9}" "$2" | grep -c "1 received"; }

echo "== made"
ip link add link v0 name m0 address 02:00:00:00:01:00 type macvlan; detail dev m0; ip -d -j link show dev m0 | grep -o '"info_data":{[^}]*}'
ip link add name m1 type macvlan mode bridge
ip link add link lo name m1 type macvlan mode bridge
ip link add link v0 name m1 type macvlan mode passthru
ip link add link v0 name m1 mtu 1600 type macvlan mode bridge
ip link add link v0 name m1 address 02:00:00:00:00:01 type macvlan mode bridge; state m1; ip link set m1 up; ip link del m1
ip link add link m0 name m2 address 02:00:00:00:01:02 type macvlan mode private; detail dev m2
ip link set m2 type macvlan mode bridge; detail dev m2 | tail -1; ip link set m2 type macvlan mode passthru; ip link set m2 type vlan id 5
ip link add link v0 type macvlan; ip -br link show macvlan0 | cut -d' ' -f1; ip link del macvlan0

echo "== with what is below"
ip link set m2 mtu 1501; ip link set m2 mtu 1450; ip link set v0 mtu 1400; detail dev m0 | head -1; detail dev m2 | head -1; ip link set v0 mtu 1500
ip link set m2 up; state m2; ip link set v0 up; state m2; ip -n A link set v1 up; state m0 m2; ip link set v0 down; state m2; ip link set v0 up
ip link set m0 up; ip link set m0 address 02:00:00:00:01:02; ip link set m0 address 02:00:00:00:00:01; ip link set m0 address 02:00:00:00:01:07; ip -br link show m0 | cut -c32-50
ip link add br0 type bridge; ip link set v0 master br0; ip link set m2 master br0; state m2; ip link set m2 nomaster
ip link add w0 type veth peer name w1; ip link set w0 master br0; ip link add link w0 name m3 type macvlan; ip link del w0; ip link del br0
ip link del m0; ip link del m2

echo "== who reaches whom"
ip netns add N1; ip netns add N2
modes() {
	n=0
	for mode; do
		n=$((n + 1)); ip link add link v0 name m$n address 02:00:00:00:01:0$n netns N$n type macvlan mode $mode
		ip netns exec N$n sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'; ip -n N$n link set lo up
		ip -n N$n link set m$n up; ip -n N$n address add 10.1.0.1$n/24 dev m$n
	done
	echo "-- $*"; ip -n N1 -o link show m1 | sed -E 's/^[0-9]+: //; s/@if[0-9]+/@if/; s/ state.*(link-netnsid)/ \1/'
	reaches N1 10.1.0.2; reaches A 10.1.0.11; reaches N1 10.1.0.12 1; reaches N1 10.1.0.1 1
	ip -n N1 link del m1; ip -n N2 link del m2
}
modes bridge bridge; modes private bridge; modes vepa vepa; modes bridge vepa

echo "== streams"
for n in 1 2; do ip link add link v0 name m$n netns N$n type macvlan mode bridge; ip -n N$n link set m$n up; ip -n N$n address add 10.1.0.1$n/24 dev m$n; done
for to in A:10.1.0.2 N2:10.1.0.12; do
	ip netns exec ${to%:*} iperf3 -s -1 -D; eventually sh -c "ip netns exec ${to%:*} ss -Htln | grep -q :5201"
	ip netns exec N1 iperf3 -c ${to#*:} -n 20M | grep -c receiver
done
reaches N1 10.1.0.255 1
# A VLAN upon a macvlan.
ip -n N1 link add link m1 name m1.5 type vlan id 5; ip -n N1 link set m1.5 up; ip -n N1 address add 10.5.0.1/24 dev m1.5
ip -n A link add link v1 name v1.5 type vlan id 5; ip -n A link set v1.5 up; ip -n A address add 10.5.0.2/24 dev v1.5; reaches N1 10.5.0.2; reaches A 10.5.0.1
ip -n N1 link del m1; ip -n N2 link del m2

echo "== alone"
ip link add link v0 name p0 address 02:00:00:00:01:09 type macvlan mode passthru; detail dev p0; detail dev v0 | grep -o "promiscuity [0-9]"; ip link set p0 up; detail dev v0 | grep -o "promiscuity [0-9]"
ip link add link v0 name p1 type macvlan mode bridge; ip link set p0 type macvlan mode bridge
ip link set v0 address 02:00:00:00:00:05; state p0; ip link set p0 address 02:00:00:00:00:06; state v0 p0
ip address flush dev v0; ip address add 10.1.0.1/24 dev p0; reaches A 10.1.0.1
ip link del p0

echo "== gone"
ip link add link v0 name m1 netns N1 type macvlan mode bridge; ip link add link v0 name m2 type macvlan mode bridge
ip link set v0 netns C; ip -n C link set v0 up; ip -n N1 link set m1 up; ip -n N1 address add 10.1.0.11/24 dev m1; reaches N1 10.1.0.2
ip -n C link del v0; state m2; ip -n N1 -br link | cut -d' ' -f1
