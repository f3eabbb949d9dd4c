# Kinds of devices and of queueing disciplines that are not there, and what is there instead.
exec 2>&1
ip link add v0 type veth peer name v1; ip link set v0 up
tc qdisc show; tc qdisc show dev v1; tc -s qdisc show dev v0; tc class show dev v0; tc filter show dev v0
for kind in fq "tbf rate 1mbit burst 10k latency 10ms" "netem delay 1ms" fq_codel htb sfq prio nosuch; do tc qdisc add dev v0 root $kind; done
tc qdisc replace dev v0 root fq; tc qdisc change dev v0 root fq; tc qdisc del dev v0 root; tc qdisc add dev v0 ingress; tc qdisc add dev v0 clsact; tc qdisc add dev nosuch root fq
tc qdisc show dev v0
ip link add w0 type wireguard; ip link add g0 type gre local 1.2.3.4 remote 1.2.3.5; ip link add p0 type ipip local 1.2.3.4 remote 1.2.3.5; ip link add s0 type sit local 1.2.3.4
ip link add x0 type vxlan id 4 dstport 4789; ip link add b0 type bond; ip link add f0 type vrf table 10; ip link add e0 type geneve id 1 remote 1.2.3.4; ip link add o0 type nosuch
ip link add t0 type gretap local 1.2.3.4 remote 1.2.3.5; ip link add i0 type ip6tnl; ip link add i1 type vti6 local ::1 remote ::2; ip link add c0 type vcan; ip link add m0 type macsec; ip link set v0 type bond; ip link show w0
ip -br link | cut -d' ' -f1
