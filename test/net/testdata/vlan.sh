# Devices of type vlan, upon a veth, a bridge, a dummy and a TAP device, and what packet sockets see of tagged frames.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run; export TMPDIR=/run
for conf in all default; do echo 1 > /proc/sys/net/ipv6/conf/$conf/disable_ipv6; done
ip netns add A; ip netns exec A sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'; ip -n A link set lo up
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns A address 02:00:00:00:00:02
# Linux works out the operational state (RFC 2863) a while after the flags have changed.
state() { for d; do ip -br link show "$d" | awk '{ print $1, $3, $4 }'; done; }
# What differs from one version of Linux or of iproute2 to the next is left out.
detail() { ip -d link show "$@" | sed -E 's/^[0-9]+: //; s/if[0-9]+/if/; s/ state [A-Z]+//; s/ (addrgenmode|gso_|numtx).*//; s/ +$//'; }
answers() { ping -q -c1 -W"${2:-9}" "$1" | grep -c "1 received"; }

echo "== made"
ip link add link v0 name v0.5 type vlan id 5; detail dev v0.5; ip -d -j link show dev v0.5 | grep -o '"info_data":{[^}]*}'
ip link add link v0 name again type vlan id 5
ip link add link v0 name v0.5 type vlan id 6
ip link add link v0 name high type vlan id 4095
ip link add link v0 name none type vlan
ip link add name none type vlan id 5
ip link add link v0 name prov type vlan protocol 802.1ad id 5; detail dev prov; ip link del prov
ip link add link v0 name large mtu 1600 type vlan id 7
ip link add link v0 name small mtu 1400 type vlan id 7; detail dev small | head -1; ip link set small mtu 1500; ip link set small mtu 1501; ip link del small
ip link add link lo name lo.5 type vlan id 5
ip link add link v0 type vlan id 9; state vlan0; ip link del vlan0
ip link add link v0 address 02:00:00:00:05:09 name own type vlan id 9; state own; ip link del own

echo "== up and down with what is below"
ip link set v0.5 up
ip link set v0 up; state v0.5; ip link set v0.5 up; state v0.5
ip -n A link add link v1 name v1.5 type vlan id 5; ip -n A link set v1 up; ip -n A link set v1.5 up; state v0.5; ip -n A -br link show v1.5 | awk '{ print $1, $3, $4 }'
ip link set v0.5 down; state v0.5; ip link set v0 down; state v0.5; ip link set v0 up; state v0.5
ip -n A link set v1 down; state v0.5; ip -n A link set v1 up; state v0.5
ip link set v0.5 type vlan loose_binding on; detail dev v0.5 | tail -1; ip link set v0 down; state v0.5 | grep -o "[<,]UP,"; ip link set v0 up; ip link set v0.5 type vlan loose_binding off
ip link set v0 address 02:00:00:00:00:11; state v0.5; ip link set v0.5 address 02:00:00:00:05:01; ip link set v0 address 02:00:00:00:00:12; state v0.5
ip link set v0 mtu 1300; state v0.5; detail dev v0.5 | head -1; ip link set v0 mtu 1500; detail dev v0.5 | head -1

echo "== frames"
ip address add 10.1.0.1/24 dev v0; ip address add 10.5.0.1/24 dev v0.5; ip -n A address add 10.1.0.2/24 dev v1; ip -n A address add 10.5.0.2/24 dev v1.5
ip link set v0.5 mtu 1500
answers 10.1.0.2; answers 10.5.0.2; ip netns exec A ping -q -c1 -W9 -s 4000 10.5.0.1 | grep -c "1 received"
ip -n A neigh show dev v1.5 | cut -d' ' -f1-3; ip -n A neigh show dev v1 | cut -d' ' -f1-3
ip link add link v0 name v0.6 type vlan id 6; ip link set v0.6 up; ip address add 10.6.0.1/24 dev v0.6
ip -n A address add 10.6.0.2/24 dev v1; answers 10.6.0.2 1
ip netns exec A iperf3 -s -1 -D; eventually sh -c 'ip netns exec A ss -Htln | grep -q :5201'
iperf3 -c 10.5.0.2 -n 20M | grep -c receiver
ip netns exec A iperf3 -s -1 -D; eventually sh -c 'ip netns exec A ss -Htln | grep -q :5201'
iperf3 -R -c 10.5.0.2 -n 20M | grep -c receiver
python3 -u "$(dirname "$0")/packets.py" v0 v0.5 v1 v1.5

echo "== a VLAN in another"
ip link add link v0.5 name v0.5.7 type vlan id 7; ip -n A link add link v1.5 name v1.5.7 type vlan id 7; detail dev v0.5.7
for d in v0.5.7; do ip link set $d up; ip address add 10.7.0.1/24 dev $d; done
ip -n A link set v1.5.7 up; ip -n A address add 10.7.0.2/24 dev v1.5.7; answers 10.7.0.2
ip netns exec A iperf3 -s -1 -D; eventually sh -c 'ip netns exec A ss -Htln | grep -q :5201'
iperf3 -c 10.7.0.2 -n 5M | grep -c receiver
ip link del v0.5.7

echo "== in other namespaces"
ip netns add B; ip link set v0.6 netns B; ip -n B -o link show v0.6 | sed -E 's/^[0-9]+: //; s/@if[0-9]+/@if/; s/ state.*(link-netnsid)/ \1/'
ip -n B link set v0.6 up; ip -n B address add 10.6.0.1/24 dev v0.6
ip -n A link add link v1 name v1.6 type vlan id 6; ip -n A address del 10.6.0.2/24 dev v1; ip -n A address add 10.6.0.2/24 dev v1.6; ip -n A link set v1.6 up
ip netns exec B ping -q -c1 -W9 10.6.0.2 | grep -c "1 received"
ip netns add C; ip link set v0 netns C; ip -n C link set v0 up; ip -n B link set v0.6 up; ip netns exec B ping -q -c1 -W9 10.6.0.2 | grep -c "1 received"
ip netns del C; eventually sh -c '! ip -n B link show v0.6 >/dev/null 2>&1'; state v0.5

echo "== upon a bridge, and through one"
ip link add br0 type bridge; ip link set br0 address 02:00:00:00:00:aa; ip link set br0 up
for n in 1 2; do
	ip netns add N$n; ip netns exec N$n sh -c 'echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6'
	ip link add p$n type veth peer name eth0 netns N$n; ip link set p$n master br0; ip link set p$n up; ip -n N$n link set eth0 up
	ip -n N$n link add link eth0 name eth0.8 type vlan id 8; ip -n N$n link set eth0.8 up; ip -n N$n address add 10.8.0.$n/24 dev eth0.8
done
ip netns exec N1 ping -q -c1 -W9 10.8.0.2 | grep -c "1 received"
ip link add link br0 name br0.8 type vlan id 8; ip link set br0.8 up; ip address add 10.8.0.254/24 dev br0.8; answers 10.8.0.1; state br0.8
# A VLAN of a port does not reach the bridge, and may be a port of another one.
ip link add link p1 name p1.8 type vlan id 8; ip link set p1.8 up; ip address add 10.8.1.254/24 dev p1.8; ip -n N1 address add 10.8.1.1/24 dev eth0.8; answers 10.8.1.1; answers 10.8.0.1 1
ip link add br1 type bridge; ip link set br1 up; ip link set p1.8 master br1; ip address add 10.8.1.253/24 dev br1; ip address flush dev p1.8; answers 10.8.1.1
ip link del br0; state br0.8; ip link del br1

echo "== upon others"
[ -e /dev/net/tun ] || { mkdir -p /dev/net; mknod /dev/net/tun c 10 200; }
ip link add d0 address 02:00:00:00:00:0d type dummy; ip link add link d0 name d0.5 type vlan id 5; ip link set d0 up; ip link set d0.5 up; state d0.5; detail dev d0.5 | head -1 | cut -d' ' -f2-
ip tuntap add t0 mode tap; ip link add link t0 name t0.5 type vlan id 5; ip link set t0 up; ip link set t0.5 up; state t0.5 | cut -d' ' -f1,3; ip link del t0
ip tuntap add t1 mode tun; ip link add link t1 name t1.5 type vlan id 5; ip link del t1
ip link del d0; state d0.5

echo "== told"
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns A address 02:00:00:00:00:02
ip -o monitor link > /run/told & monitor=$!
eventually sh -c 'ip link set lo mtu 65535; ip link set lo mtu 65536; [ -s /run/told ]'
ip link add link v0 name v0.3 type vlan id 3; ip link set v0 up; ip link set v0.3 up; ip link set v0 down; ip link del v0
eventually grep -q "^Deleted.*v0.3" /run/told
kill $monitor; wait $monitor 2>/dev/null
sed -E '/ lo: /d; s/^Deleted [0-9]+: /Deleted /; s/^[0-9]+: //; s/@(if)?[0-9]+/@\1/; s/ state [A-Z]+//' /run/told | grep "v0.3" | uniq

# No more than eight upon each other.
ip link add n0 type dummy
for n in 1 2 3 4 5 6 7 8; do
	ip link add link n$((n-1)) name n$n type vlan id 1 || { echo "number $n: no"; break; }
done
ip link del n0; ip -br link show type vlan | awk '/^n/' | wc -l
