# Devices of type ipvlan upon a veth, in both modes, and as a CNI plugin sets them up: in namespaces of their own.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run; export TMPDIR=/run
for conf in all default; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done
for n in A N1 N2; do ip netns add $n; ip netns exec $n sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'; ip -n $n link set lo up; done
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns A address 02:00:00:00:00:02
ip address add 10.1.0.1/24 dev v0; ip -n A address add 10.1.0.2/24 dev v1
# Linux works out the operational state (RFC 2863) a while after the flags have changed.
state() { for d; do ip -br link show "$d" | awk '{ print $1, $3, $4 }'; done; }
# What differs from one version of Linux or of iproute2 to the next is left out.
detail() { ip -d link show "$@" | sed -E 's/^[0-9]+: //; s/if[0-9]+/if/; s/ state [A-Z]+//; s/ (addrgenmode|gso_|numtx|tso_|permaddr).*//; s/ +$//'; }
reaches() { ip netns exec "$1" ping -q -c1 -W"${3:-9}" "$2" | grep -c "1 received"; }

echo "== made"
ip link add link v0 name i0 type ipvlan; detail dev i0; ip -d -j link show dev i0 | grep -o '"info_data":{[^}]*}'
ip link add name i1 type ipvlan mode l2
ip link add link lo name i1 type ipvlan mode l2
ip link add link i0 name i1 address 02:00:00:00:00:09 type ipvlan mode l2 private; detail dev i1; detail dev i0 | tail -1
ip link set i0 type ipvlan mode l2 vepa; detail dev i1 | tail -1; ip link set i0 type macvlan mode bridge
ip link set i1 address 02:00:00:00:00:09; ip link set v0 address 02:00:00:00:00:05; state i0 i1; ip link set v0 address 02:00:00:00:00:01
ip link add link v0 name m0 type macvlan mode bridge
ip link add br0 type bridge; ip link set v0 master br0; ip link set i1 master br0; ip link del br0
ip address add 10.9.0.1/24 dev i0; ip address add 10.9.0.1/24 dev i1
ip link set i0 mtu 1600; ip link set v0 mtu 1400; detail dev i0 | head -1; detail dev i1 | head -1; ip link set v0 mtu 1500; detail dev i1 | head -1
ip link set i0 up; state i0; ip link set v0 up; ip -n A link set v1 up; state i0; ip link set i0 type ipvlan mode l3 bridge; state i0 i1
ip link del i0; ip link del i1

echo "== who reaches whom"
modes() {
	echo "-- $*"
	for n in 1 2; do
		ip link add link v0 name i$n netns N$n type ipvlan mode $*; ip netns exec N$n sh -c 'echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6'
		ip -n N$n link set i$n up; ip -n N$n address add 10.1.0.1$n/24 dev i$n
	done
	ip -n N1 -o link show i1 | sed -E 's/^[0-9]+: //; s/@if[0-9]+/@if/; s/ state.*(link-netnsid)/ \1/'
	[ "$1" = l2 ] || ip -n A neigh replace 10.1.0.11 lladdr 02:00:00:00:00:01 dev v1
	reaches N1 10.1.0.2; reaches A 10.1.0.11; reaches N1 10.1.0.12 1; reaches N1 10.1.0.1 1
	ip -n N1 neigh show dev i1 | cut -d' ' -f1-3 | grep -v FAILED | sort
	ip -n N1 link del i1; ip -n N2 link del i2; ip -n A neigh flush all
}
modes l2 bridge; modes l2 private; modes l2 vepa; modes l3 bridge; modes l3 private

echo "== streams"
for mode in l2 l3; do
	for n in 1 2; do ip link add link v0 name i$n netns N$n type ipvlan mode $mode; ip -n N$n link set i$n up; ip -n N$n address add 10.1.0.1$n/24 dev i$n; done
	ip -n A neigh replace 10.1.0.11 lladdr 02:00:00:00:00:01 dev v1
	for to in A:10.1.0.2 N2:10.1.0.12; do
		ip netns exec ${to%:*} iperf3 -s -1 -D; eventually sh -c "ip netns exec ${to%:*} ss -Htln | grep -q :5201"
		ip netns exec N1 iperf3 -c ${to#*:} -n 20M | grep -c receiver
	done
	ip -n N1 link del i1; ip -n N2 link del i2
done

echo "== by routes of the stack below"
ip link add link v0 name i1 netns N1 type ipvlan mode l3; ip -n N1 link set i1 up; ip -n N1 address add 10.6.0.1/32 dev i1; ip -n N1 route add default dev i1
ip -n A route add 10.6.0.0/24 via 10.1.0.1; ip -n A address add 10.7.0.1/32 dev lo; ip route add 10.7.0.0/24 via 10.1.0.2
reaches N1 10.7.0.1; reaches A 10.6.0.1; ip netns exec N1 ping -q -c1 -W9 -s 4000 10.7.0.1 | grep -c "1 received"

echo "== gone"
ip link del v0; ip -n N1 -br link | cut -d' ' -f1
