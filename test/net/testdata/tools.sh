# What iproute2's commands say of links, addresses, routes, neighbours and groups, and of requests that are refused.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run
ip netns add A; ip -n A link set lo up
ip link add v0 address 02:00:00:00:00:01 type veth peer name v1 netns A address 02:00:00:00:00:02
ip link set v0 up; ip -n A link set v1 up; ip address add 10.1.0.1/24 brd + dev v0; ip -n A address add 10.1.0.2/24 dev v1
eventually sh -c '! ip -6 address show dev v0 | grep -q tentative && ip -6 address show dev v0 | grep -q fe80'
ip address add fd00::1/64 dev v0 nodad; ip -n A address add fd00::2/64 dev v1 nodad
ip address add 10.1.0.5 peer 10.1.0.6/32 dev v0 label v0:x; ip address add fd00::7/64 dev v0 nodad
# Linux has a queue for each processor. How often the carrier has changed depends on how the kind begins.
plain() { sed -E 's/ num[tr]xqueues [0-9]+//g; s/ transns//; s/^( +0){4}( +[0-9]+)? *$/ none/; s/( +[0-9]+){6} *$/ some/; s/ (gso|gro|tso)_.*//; s/ +$//'; }
told() { echo "> ip $*"; ip "$@"; }

echo "== addresses"
ping -c1 -q -W9 10.1.0.2 | grep -c "1 rec"; ping -c1 -q -W9 fd00::2 | grep -c "1 rec"
told -d address show dev v0 | plain; told -4 -o address; told -6 -o address show scope global; told address show to 10.1.0.0/24; told -br address; told address show up primary dev v0 | plain
ip address add fd00::8/64 dev v0 nodad valid_lft 1000 preferred_lft 500; ip -6 address show dev v0 to fd00::8 | sed -E 's/(99.|1000|49.|500)sec/some/g'; ip address del fd00::8/64 dev v0

echo "== ways"
told route; told -6 route; told route show table local; told -6 route show table local
told route get 10.1.0.2; told -6 route get fd00::2; told route get 10.1.0.1; told -6 route get fd00::1; told -6 route get ::1; told rule; told -6 rule

echo "== links"
ip -s -s link show v0 | plain; ip -s link show lo | sed -n 1,2p
ip link set v0 alias "to A"; ip link set v0 txqueuelen 500; ip link set v0 group 7; ip link show group 7; ip link set v0 promisc on; ip -d link show v0 | plain; ip link set v0 promisc off
ip link set v0 allmulticast on; ip link show v0 | head -1; ip link set v0 allmulticast off; ip link set v0 alias ""; ip link set v0 group default; ip link show v0
ip link show type veth | head -1; ip link show type bridge; ip link show master v0
ip link add v2 type veth peer name v3; ip link set v2 address 02:00:00:00:00:03; ip link set v2 addrgenmode none; ip -d link show v2 | plain; ip link set v2 up; ip link set v3 up; ip address show v2
ip link set v2 down; ip link set v2 arp off multicast off; ip link show v2; ip link del v2

echo "== neighbours and groups"
ip neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev v0 nud permanent; told neigh show 10.1.0.9; told neigh show nud permanent; ip neigh change 10.1.0.9 lladdr 02:00:00:00:00:0a dev v0 nud permanent; told neigh show dev v0 10.1.0.9; ip neigh del 10.1.0.9 dev v0
ip maddr show dev v0 | sed 's/ users.*//' | sort; ip maddr show dev lo | sort

echo "== numbers of namespaces"
ip netns set A 5; ip -o link show v0 | grep -o "link-net.*"; ip netns list-id; ip netns list-id nsid 5; ip netns list-id nsid 6
python3 - <<'END'
import socket, struct
# Dumps of links and addresses of the namespace with a number, for those who ask strictly.
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0); s.setsockopt(270, 12, 1)
def ask(kind, header, target, name, number):
    body = header + struct.pack("=HHi", 8, target, number)
    s.send(struct.pack("=IHHII", 16 + len(body), kind, 0x301, 1, 0) + body)
    found, done = [], False
    while not done:
        data = s.recv(1 << 16)
        while data:
            size, what = struct.unpack_from("=IH", data)
            if what == 2 or what == 3 and data[16:20] != bytes(4):
                return "refused"
            attrs, data = data[16 + len(header):size], data[size + 3 & ~3:]
            done, values = what == 3, {}
            while not done and attrs:
                n, t = struct.unpack_from("=HH", attrs)
                values[t], attrs = attrs[4:n], attrs[n + 3 & ~3:]
            if name in values:
                found.append((values[name], struct.unpack("=i", values[target])[0]))
    return sorted(found)
print(ask(18, bytes(16), 46, 3, 0), ask(22, bytes([2]) + bytes(7), 10, 2, 0), ask(18, bytes(16), 46, 3, 77), ask(22, bytes(8), 10, 2, 77))
END

echo "== refused"
for request in "link del nosuch" "link set nosuch up" "link set v0 name lo" "link set v0 mtu 10" "link set v0 mtu 70000" "address add 10.1.0.1/24 dev v0" "address add fd00::1/64 dev v0" \
	"address del 10.44.0.1/24 dev v0" "address add 10.1.0.1/33 dev v0" "address add 224.0.0.1/24 dev nosuch" "route add 10.1.0.0/24 dev v0" "route add 10.5.0.0/24 via 10.99.0.1" "route del 10.9.0.0/24" \
	"route add default via 10.1.0.2 dev nosuch" "neigh del 10.1.0.99 dev v0" "rule del pref 999" "netns set A 9" "link set v0 master lo" "link add v0 type veth" "link set v0 address 01:00:00:00:00:01"; do
	told $request
done
ip netns del A
