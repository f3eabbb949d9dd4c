#!/bin/bash
# redis and nginx with clients beside them.
. /bench/macro/lib.sh
redis-server --save '' --appendonly no --port 7001 --daemonize yes >/dev/null
until redis-cli -p 7001 ping >/dev/null 2>&1; do sleep 0.05; done
redis-benchmark -p 7001 -t set,get -n 20000 -c 20 --csv 2>/dev/null | tr -d '"' | awk -F, '/^[SG]ET/ { print "redis_" tolower($1), $2, "/s" }'
redis-benchmark -p 7001 -t get -n 1000000 -c 20 -P 16 --csv 2>/dev/null | tr -d '"' | awk -F, '/^GET/ { print "redis_get_pipelined", $2, "/s" }'
redis-cli -p 7001 shutdown nosave || true
. /bench/macro/nginx.sh
nginx_conf 127.0.0.1:7002 >conf
nginx -c "$PWD/conf" -e "$PWD/error"
until curl -s -o /dev/null http://127.0.0.1:7002/small; do sleep 0.05; done
ask() {
	wrk -t1 -c"$2" -d3 http://127.0.0.1:7002/"$3" | awk -v name="$1" '/Requests.sec/ { print name, $2, "/s" }'
}
ask nginx_small 16 small
ask nginx_large 16 large
ask nginx_256 256 large
nginx -c "$PWD/conf" -e "$PWD/error" -s stop
