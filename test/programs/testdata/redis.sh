#!/bin/bash
# redis-server with redis-benchmark over TCP and over a UNIX socket; saving and loading.
set -euo pipefail
cd "$(mktemp -d /var/tmp/redis.XXXXXX)"
start() {
	redis-server --port 6400 --unixsocket "$PWD/sock" --dir "$PWD" --save '' --appendonly "$1" --daemonize no --logfile log &
	server=$!
	for _ in $(seq 1 300); do [ "$(redis-cli -p 6400 ping 2>/dev/null)" = PONG ] && return; sleep 0.1; done
	echo "redis does not answer"
	cat log
	exit 1
}
trap 'status=$?; if [ $status != 0 ]; then tail -n 20 log; kill -9 $server; fi' EXIT
cli() { redis-cli -p 6400 "$@"; }
start yes
cli set greeting hello
cli get greeting
cli incrby n 42
cli rpush list a b c d
cli lrange list 1 2
cli hset h f1 v1 f2 v2
cli hgetall h
cli eval 'return redis.call("get", KEYS[1]) .. " from lua"' 1 greeting
cli expire greeting 100
redis-cli -s sock get n
for i in $(seq 1 1000); do echo "set k$i $i"; done | cli --pipe | tail -n 1
cli dbsize
redis-benchmark -p 6400 -n 3000 -c 20 -t set,get,incr,lpush -q | tr '\r' '\n' | grep -c 'requests per second, p50'
redis-benchmark -s sock -n 3000 -c 10 -P 8 -t get -q | tr '\r' '\n' | grep -c 'requests per second, p50'
cli flushall
cli mset a 1 b 2 c 3
cli bgsave
for _ in $(seq 1 300); do [ "$(cli info persistence | tr -d '\r' | grep rdb_bgsave_in_progress)" = rdb_bgsave_in_progress:0 ] && break; sleep 0.1; done
cli info persistence | tr -d '\r' | grep rdb_last_bgsave_status
timeout 20 redis-cli -p 6400 subscribe news >messages &
subscriber=$!
until [ "$(cli publish news first)" = 1 ]; do sleep 0.05; done
until grep -q first messages; do sleep 0.05; done
kill $subscriber
wait $subscriber 2>/dev/null || true
cli shutdown nosave 2>/dev/null || true
wait $server && echo "server ends with 0"
start yes
cli mget a b c
cli debug sleep 0 >/dev/null
kill -TERM $server
wait $server && echo "server ends with 0"
