# Runs clients of the servers of servers.sh: clients.sh KEYS IPV4 IPV6. It prints "ok" or "FAILED" and the name of each.
keys=$1 four=$2 six=$3
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$keys/user" "$work"
chmod 600 "$work/user"
ssh="-i $work/user -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o ConnectTimeout=20"

# check NAME COMMAND runs COMMAND, which must succeed within a minute.
check() {
	if timeout 60 sh -c "$2" >"$work/out" 2>&1; then
		echo "ok $1"
	else
		echo "FAILED $1"
		head -20 "$work/out"
	fi
}
# The server takes one test at a time, and is busy a moment longer than its client.
iperf() { echo "for i in 1 2 3 4 5 6 7 8; do iperf3 $* && exit 0; sleep 0.5; done; exit 1"; }
same="cmp - $keys/data"
for a in "$four" "$six"; do
	case $a in
	*:*) v=6 url="[$a]" ;;
	*) v=4 url=$a ;;
	esac
	check ping$v "ping -c3 -i0.2 -W5 $a | tee /dev/stderr | grep -q ' 3 received'"
	check ttl$v "ping -c1 -W5 $a | tee /dev/stderr | grep -q 'ttl=64'"
	check big-ping$v "ping -c2 -i0.2 -W5 -s 5000 $a | tee /dev/stderr | grep -q ' 2 received'"
	check curl$v "curl -sS http://$url:8080/data | $same"
	check wget$v "wget -q -O- http://$url:8080/data | $same"
	check http2-$v "curl -sSk --http2 -w '%{http_version}' -o $work/h2 https://$url:8443/data | tee /dev/stderr | grep -qx 2 && cmp $work/h2 $keys/data"
	check haproxy$v "curl -sS http://$url:8090/data | $same"
	check parallel$v "for i in 1 2 3 4 5 6 7 8; do curl -sS http://$url:8090/data | $same || touch $work/bad & done; wait; [ ! -e $work/bad ]"
	check dig$v "dig +short +tries=3 -p 5353 @$a example.test | tee /dev/stderr | grep -qx 192.0.2.7"
	check dig-tcp$v "dig +short +tcp -p 5353 @$a example.test | tee /dev/stderr | grep -qx 192.0.2.7"
	check nc$v "nc -z -w10 $a 8080 && ! nc -z -w10 $a 9"
	check traceroute$v "traceroute -$v -n -w 5 -q 1 $a | tee /dev/stderr | grep -q '^ 1  $a '"
	check traceroute-icmp$v "traceroute -$v -I -n -w 5 -q 1 $a | tee /dev/stderr | grep -q '^ 1  $a '"
	check nmap$v "nmap -$v -n -Pn -sT -p 9,2222,8080 $a | tee /dev/stderr | grep -q '8080/tcp open'"
	check iperf3-out$v "$(iperf -n 20M -c $a)"
	check iperf3-in$v "$(iperf -R -n 20M -P 3 -c $a)"
	check iperf3-udp$v "$(iperf -u -b 20M -t 1 -c $a)"
	check s_client$v "echo | openssl s_client -connect $url:8444 | tee /dev/stderr | grep -q 'Verification error: self-signed certificate'"
	check ssh$v "ssh $ssh -p 2222 root@$a echo hello | tee /dev/stderr | grep -qx hello"
	check ssh-data$v "ssh $ssh -p 2222 root@$a cat '>/dev/null; cat $keys/data' <$keys/data | $same"
	check scp$v "scp $ssh -P 2222 root@$url:$keys/data $work/scp && cmp $work/scp $keys/data && scp $ssh -P 2222 $keys/data root@$url:/dev/null"
	check rsync$v "rsync -a rsync://$url:8730/www/data $work/rsync && cmp $work/rsync $keys/data"
	check websocket$v "python3 $here/websocket.py $a"
done
check tcpdump "tcpdump -Z root -c2 -lni any 'icmp and host $four' >$work/dump & p=\$!; until ping -c1 -W1 $four >/dev/null && ! kill -0 \$p 2>/dev/null; do :; done; grep -q 'ICMP echo' $work/dump"
