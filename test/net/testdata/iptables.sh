# What iptables and ip6tables say of rules, by nftables and by the tables of before.
exec 2>&1
save=$(mktemp)
for ipt in iptables-nft iptables-legacy; do
echo "== $ipt"
$ipt -N DOCKER; $ipt -N DOCKER-USER; $ipt -t nat -N DOCKER
$ipt -A INPUT -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT
$ipt -A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT
$ipt -A INPUT -p tcp -m multiport --dports 80,443,1000:2000 -j ACCEPT
$ipt -A INPUT -p udp -m multiport ! --sports 53,67 -j DROP
$ipt -A INPUT -p icmp --icmp-type echo-request -m limit --limit 5/min --limit-burst 10 -j ACCEPT
$ipt -A INPUT -i lo ! -s 10.0.0.0/8 -j ACCEPT
$ipt -A INPUT -m comment --comment "a comment with spaces" -j LOG --log-prefix "in: " --log-level 5 --log-uid
$ipt -A INPUT -p tcp --tcp-flags SYN,ACK SYN -j REJECT --reject-with tcp-reset
$ipt -A INPUT -p tcp --syn --tcp-option 3 -j DROP
$ipt -A INPUT -f -j DROP
$ipt -A INPUT -m mark --mark 0x10/0xff -j DOCKER
$ipt -A INPUT -m iprange --src-range 10.0.0.1-10.0.0.9 -j RETURN
$ipt -A INPUT -m length --length 100:200 -m ttl --ttl-lt 5 -m dscp --dscp-class CS1 -m pkttype --pkt-type broadcast -j DROP
$ipt -A INPUT -m addrtype --dst-type LOCAL --limit-iface-in -j ACCEPT
$ipt -A INPUT -j REJECT --reject-with icmp-admin-prohibited
$ipt -A INPUT -m statistic --mode random --probability 0.25 -j ACCEPT
$ipt -A INPUT -m statistic --mode nth --every 3 --packet 1 -j ACCEPT
$ipt -A INPUT -m connmark --mark 0x1 -j ACCEPT
$ipt -A INPUT -m tcp -p tcp -m tcpmss --mss 500:1000 -j ACCEPT
$ipt -A INPUT -m conntrack ! --ctstate INVALID --ctproto tcp --ctorigdst 1.2.3.4 --ctorigdstport 80 --ctdir ORIGINAL -j ACCEPT
$ipt -A INPUT -g DOCKER
$ipt -A OUTPUT -m owner --uid-owner 1000 --gid-owner 1-5 -j ACCEPT
$ipt -A OUTPUT -m owner ! --socket-exists -j ACCEPT
$ipt -P FORWARD DROP
$ipt -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
$ipt -A FORWARD -i docker0 ! -o docker0 -j ACCEPT
$ipt -t mangle -A PREROUTING -j MARK --set-xmark 0x4000/0x4000
$ipt -t mangle -A FORWARD -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
$ipt -t mangle -A OUTPUT -j CONNMARK --save-mark
$ipt -t raw -A PREROUTING -p udp -j NOTRACK
$ipt -t nat -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
$ipt -t nat -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER
$ipt -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
$ipt -t nat -A POSTROUTING -p tcp -j MASQUERADE --to-ports 1000-2000 --random-fully
$ipt -t nat -A POSTROUTING -s 10.0.0.1 -j SNAT --to-source 1.2.3.4-1.2.3.9:100-200 --persistent
$ipt -t nat -A DOCKER -i docker0 -j RETURN
$ipt -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80
$ipt -t nat -A DOCKER -p tcp -m tcp --dport 8081 -j REDIRECT --to-ports 81
$ipt -A INPUT -j DNAT --to-destination 1.2.3.4; echo $?
$ipt -t nat -A POSTROUTING -j DNAT --to-destination 1.2.3.4; echo $?
$ipt -A INPUT -j NOCHAIN; echo $?
$ipt -A INPUT -m nosuch -j ACCEPT 2>/dev/null; echo $?
for t in filter nat mangle raw security; do $ipt -t $t -S; $ipt -t $t -L -n -v --line-numbers; done
$ipt-save -c | grep -v '^#'
$ipt -C INPUT -j REJECT --reject-with icmp-admin-prohibited; echo $?
$ipt -D INPUT -p tcp -m multiport --dports 80,443,1000:2000 -j ACCEPT; echo $?
$ipt -I INPUT 2 -j ACCEPT; $ipt -R INPUT 1 -j DROP; $ipt -D INPUT 3; $ipt -Z; $ipt -E DOCKER-USER DU; $ipt -X DOCKER; echo $?
$ipt -S | head -20
$ipt-save > $save; $ipt -F; $ipt -X; $ipt -t nat -F; $ipt-restore < $save; $ipt-save | grep -c .
$ipt-restore -n <<N
*filter
:KUBE-X - [0:0]
-A KUBE-X -j ACCEPT
-F DU
COMMIT
N
$ipt -S KUBE-X; cat /proc/net/ip_tables_names
$ipt -F; $ipt -X; $ipt -t nat -F; $ipt -t nat -X
done
for ipt in ip6tables-nft ip6tables-legacy; do
echo "== $ipt"
$ipt -A INPUT -p icmpv6 --icmpv6-type neighbour-solicitation -j ACCEPT
$ipt -A INPUT -s fe80::/64 -m hl --hl-gt 5 -j ACCEPT
$ipt -A INPUT -p tcp -m conntrack --ctstate NEW -m multiport --dports 1,2 -j REJECT --reject-with icmp6-adm-prohibited
$ipt -A INPUT -p tcp -j REJECT --reject-with tcp-reset
$ipt -A INPUT -j LOG; $ipt -A INPUT -m addrtype --dst-type LOCAL -j ACCEPT
$ipt -t nat -A POSTROUTING -s fd00::/64 -j MASQUERADE
$ipt -t nat -A POSTROUTING -s fd00:1::/64 -j SNAT --to-source fd02::1
$ipt -t nat -A PREROUTING -p tcp --dport 80 -j DNAT --to-destination [fd00::2]:8080
$ipt -t nat -A PREROUTING -p tcp --dport 81 -j REDIRECT --to-ports 8080
$ipt-save -c | grep -v '^#'; $ipt -L -n -v
done
rm -f $save
