# What nft says of tables of all kinds, and of changes that are refused.
exec 2>&1
nft -f - <<'N' || echo FAIL
table inet t {
  counter web { packets 3 bytes 400 }
  set ports { type inet_service; elements = { 22, 80, 443 } }
  set nets { type ipv4_addr; flags interval; elements = { 10.0.0.0/8, 192.168.1.5-192.168.1.20 } }
  set dyn { type ipv4_addr; size 100; flags dynamic,timeout; timeout 1m; }
  set conc { type ipv4_addr . inet_service; elements = { 1.2.3.4 . 80, 1.2.3.5 . 443 } }
  set concint { type ipv4_addr . inet_service; flags interval; elements = { 10.0.0.0/24 . 80-90 } }
  map m { type inet_service : ipv4_addr; elements = { 80 : 10.0.0.1, 443 : 10.0.0.2 } }
  map vm { type ipv4_addr : verdict; elements = { 1.1.1.1 : jump other, 2.2.2.2 : drop } }
  chain other { counter name "web" return;
 }
  chain input { type filter hook input priority 0; policy drop;
    ct state established,related accept
    ct state vmap { invalid : drop, new : continue }
    iifname "lo" accept
    iifname "eth*" counter
    tcp dport @ports accept comment "hello"
    ip saddr @nets udp dport 53 limit rate 10/second burst 20 packets log prefix "dns " accept
    meta l4proto { icmp, ipv6-icmp } accept
    ip saddr vmap @vm
    tcp flags & (syn|ack) == syn counter packets 0 bytes 0
    add @dyn { ip saddr timeout 30s }
    update @dyn { ip saddr limit rate over 5/minute } drop
    ip saddr . tcp dport @conc accept
    ip daddr . tcp dport @concint accept
    meta skuid 1000 mark set 0x1
    fib daddr type local counter
    fib saddr . iif oif missing drop
    ip6 nexthdr tcp tcp option maxseg size 1400 accept
    ct mark set meta mark
    meta mark & 0xff == 0x12 ct mark set ct mark | 0x100
    ip dscp set cs1
    quota over 10 mbytes drop
    tcp dport 8080 reject with tcp reset
    udp dport 1-1000 reject
    reject with icmpx admin-prohibited
    numgen random mod 4 vmap { 0 : jump other, 1-3 : accept }
    ip saddr 10.1.0.0/16 tcp sport != 1024-65535 drop
    limit rate over 1 mbytes/second burst 2 mbytes drop
    jhash ip saddr mod 16 seed 0xdeadbeef 1 accept
    meta pkttype broadcast drop
    icmp type echo-request accept
    icmpv6 type { nd-neighbor-solicit, nd-router-advert } accept
    ct original ip daddr 10.2.3.4 accept
    meta nfproto ipv4 return
    ether saddr 00:11:22:33:44:55 accept
    @th,16,16 53 accept
    ip frag-off & 0x1fff != 0 drop
    notrack
  }
}
table ip mangle { chain fw { type filter hook forward priority mangle; policy accept; tcp flags syn tcp option maxseg size set rt mtu;
 }
 chain out { type route hook output priority mangle; policy accept; meta mark set 7; ip ttl 5-10 counter;
 }
}
table ip nat {
  chain pre { type nat hook prerouting priority dstnat; policy accept;
   tcp dport 80 dnat to 10.0.0.1:8080
   tcp dport 81 redirect to :8081
   dnat to tcp dport map { 1000 : 10.0.0.1, 2000 : 10.0.0.2 }
   tcp dport 83 dnat to 10.0.0.1-10.0.0.5:1000-2000 random,persistent
  }
  chain post { type nat hook postrouting priority srcnat;
   oifname "eth0" masquerade
   ip saddr 10.0.0.0/8 snat to 1.2.3.4
   meta l4proto tcp masquerade to :1000-2000 fully-random;
 }
}
table ip6 nat6 { chain post { type nat hook postrouting priority 100; masquerade
 }
 }
N
nft -a list ruleset
nft add element inet t ports '{ 8443 }'; nft delete element inet t ports '{ 22 }'; nft get element inet t nets '{ 10.5.5.5 }'
nft insert rule inet t input counter accept; nft add rule inet t input index 0 drop
nft delete chain inet t other; echo $?
nft flush chain ip nat pre; nft rename chain ip nat pre pre2; nft list chain ip nat pre2
nft delete table ip nat; nft list tables; nft list sets | head -20; nft list counters; nft list set inet t concint; nft reset counters
nft add chain inet t a; nft add chain inet t b; nft add rule inet t a jump b; nft add rule inet t b jump a; echo $?
nft add rule inet t input masquerade; echo $?
nft -j list table ip6 nat6
nft flush ruleset; nft list ruleset
