#!/bin/bash
# clients.sh ADDRESS ROOTFS: asks the servers of servers.sh at ADDRESS, by the programs of a
# root file system where the host has none, and prints figures.
set -eu
address=$1 rootfs=$2
stream() {
	name=$1
	shift
	iperf3 --client "$address" --time 3 --format k "$@" | awk -v name="$name" '/receiver/ { print name, $7 * 125, "/s" }'
}
stream veth_stream_in
stream veth_stream_out --reverse
chroot "$rootfs" redis-benchmark -h "$address" -p 7001 -t set,get -n 30000 -c 20 --csv | tr -d '"' | awk -F, '/^[SG]ET/ { print "veth_redis_" tolower($1), $2, "/s" }'
chroot "$rootfs" redis-benchmark -h "$address" -p 7001 -t get -n 200000 -c 20 -P 16 --csv | tr -d '"' | awk -F, '/^GET/ { print "veth_redis_pipelined", $2, "/s" }'
for connections in 16 256; do
	chroot "$rootfs" wrk -t1 -c$connections -d3 "http://$address:7002/large" | awk -v name=veth_nginx_$connections '/Requests.sec/ { print name, $2, "/s" }'
done
