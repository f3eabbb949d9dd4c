#!/bin/bash
# The servers that clients.sh asks across a veth pair. They end with standard input.
. /bench/macro/lib.sh
iperf3 --server --daemon
redis-server --save '' --appendonly no --protected-mode no --port 7001 --daemonize yes >/dev/null
. /bench/macro/nginx.sh
nginx_conf 7002 >conf
nginx -c "$PWD/conf" -e "$PWD/error"
until redis-cli -p 7001 ping >/dev/null 2>&1 && curl -s -o /dev/null http://127.0.0.1:7002/small; do sleep 0.05; done
echo ready
cat >/dev/null
