# Nexthop objects, and routes by them and by several ways.
[ "$CASEMATE_PRIVATE_MOUNTS" ] || CASEMATE_PRIVATE_MOUNTS=1 exec unshare -m --propagation private sh "$0"
exec 2>&1
. "$(dirname "$0")/eventually.sh"
mount -t tmpfs run /run
ip netns add A; ip link set lo up
for n in 0 2; do
	ip link add v$n type veth peer name w$n netns A; ip link set v$n up; ip -n A link set w$n up
	ip address add 10.$n.0.1/24 dev v$n; ip -n A address add 10.$n.0.2/24 dev w$n; ip -n A address add 10.$n.0.9/24 dev w$n
	ip address add fd0$n::1/64 dev v$n nodad; ip -n A address add fd0$n::2/64 dev w$n nodad
done
ip -n A link set lo up; ip link add v1 type veth peer name v3; ip link set v1 up; ip link set v3 up
told() { echo "> ip $*"; ip "$@"; }
routes() { for f in -4 -6; do ip $f route show | grep -E "nhid|nexthop|^[^ ]* *$" | sed 's/ *$//'; done; }
ip monitor nexthop > /run/told & monitor=$!
eventually sh -c 'ip nexthop add id 999 blackhole; ip nexthop del id 999; [ -s /run/told ]'

echo "== made"
for object in "id 1 via 10.0.0.2 dev v0" "id 2 dev v2" "id 3 via 10.2.0.2 dev v2 onlink" "id 4 blackhole" "id 5 via fd00::2 dev v0" "id 6 via fd02::2 dev v2 protocol static" "id 1 via 10.0.0.3 dev v0" \
	"id 7 via 10.9.0.3 dev v0" "id 7 via 10.0.0.3" "id 10 group 1/3" "id 11 group 1,3/2,7" "id 12 group 1/99" "id 13 group 1/5" "id 14 group 10/1" "id 14 group 1/1" "id 15 group 1/4" "id 16 group 5/6" "id 21 dev v3" "id 22 group 4"; do
	told nexthop add $object
done
told nexthop replace id 1 via 10.0.0.9 dev v0; told nexthop replace id 3 group 1; told nexthop replace id 10 via 10.0.0.2 dev v0
for request in list "list dev v0" "list groups" "show master v0" "get id 1" "get id 10" "get id 98"; do told nexthop $request; done
told -d nexthop; told -6 nexthop; told -4 nexthop; told -j nexthop

echo "== routes"
for route in "10.50.0.0/24 nhid 1" "10.51.0.0/24 nhid 10" "10.52.0.0/24 nhid 4" "10.53.0.0/24 nhid 99" "10.53.0.0/24 nhid 5" "fd50::/64 nhid 5" "fd51::/64 nhid 16" "fd52::/64 nhid 4" "10.54.0.0/24 nhid 1 dev v0" "10.55.0.0/24 nhid 2" \
	"10.56.0.0/24 nexthop via 10.0.0.2 dev v0 nexthop via 10.2.0.2 dev v2 weight 3" "10.57.0.0/24 via inet6 fd00::2 dev v0" "10.58.0.0/24 nexthop via 10.0.0.2 dev v0 nexthop via 10.99.0.2 dev v2"; do
	told route add $route
done
told -6 route add fd53::/64 nhid 1
routes; told -d route show 10.51.0.0/24
told route get 10.50.0.1; told route get 10.52.0.1; told -6 route get fd50::1; told route get fibmatch 10.50.0.1; told route get fibmatch 10.51.0.1
told route replace 10.50.0.0/24 nhid 3; told route show 10.50.0.0/24; told nexthop replace id 3 via 10.2.0.9 dev v2; told route show 10.50.0.0/24; told route get 10.50.0.1

echo "== traffic"
for n in 50 51 53 55 56; do ip -n A address add 10.$n.0.1/24 dev lo; ping -q -c1 -W9 10.$n.0.1 | grep -c "1 received"; done
for n in 50 51; do ip -n A address add fd$n::1/64 dev lo nodad; ping -q -c1 -W9 fd$n::1 | grep -c "1 received"; done
# Each flow has one way; of many flows some go by each.
ways() { for n in $(seq 40); do ip route get 10.$1.0.$n | sed -n 's/.* dev \([^ ]*\) .*/\1/p'; done | sort | uniq -c | awk '{ print $2, ($1 > 0) }'; }
ways 51; ways 56
for n in 1 2 3 4; do ip route get 10.56.0.77; done | grep dev | sort -u | wc -l

echo "== gone"
told nexthop del id 1; told nexthop del id 99; told nexthop; routes
ip link set v2 down; told nexthop; routes; ip -6 route show dev v3 | sed 's/proto.*metric/metric/'
told nexthop del id 5; routes; told nexthop flush; told nexthop; routes

echo "== told"
ip nexthop add id 998 blackhole; eventually grep -q "id 998" /run/told; kill $monitor; wait $monitor 2>/dev/null
grep -v "id 99[89]" /run/told
ip netns del A
