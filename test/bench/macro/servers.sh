#!/bin/bash
# redis and nginx with clients beside them.
. /bench/macro/lib.sh
redis-server --save '' --appendonly no --port 7001 --daemonize yes >/dev/null
until redis-cli -p 7001 ping >/dev/null 2>&1; do sleep 0.05; done
redis-benchmark -p 7001 -t set,get -n 20000 -c 20 --csv 2>/dev/null | tr -d '"' | awk -F, '/^[SG]ET/ { print "redis_" tolower($1), $2, "/s" }'
redis-benchmark -p 7001 -t get -n 100000 -c 20 -P 16 --csv 2>/dev/null | tr -d '"' | awk -F, '/^GET/ { print "redis_get_pipelined", $2, "/s" }'
redis-cli -p 7001 shutdown nosave || true
mkdir www
echo hello >www/small
head -c 100000 /dev/zero >www/large
cat >conf <<END
worker_processes 1;
pid $PWD/pid;
error_log $PWD/error;
events { worker_connections 512; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path $PWD/1; proxy_temp_path $PWD/2; fastcgi_temp_path $PWD/3; uwsgi_temp_path $PWD/4; scgi_temp_path $PWD/5;
	server { listen 127.0.0.1:7002; root $PWD/www; }
}
END
chmod 755 .
nginx -c "$PWD/conf" -e "$PWD/error"
until curl -s -o /dev/null http://127.0.0.1:7002/small; do sleep 0.05; done
for file in small large; do
	wrk -t1 -c16 -d3 http://127.0.0.1:7002/$file | awk -v name=nginx_$file '/Requests.sec/ { print name, $2, "/s" }'
done
nginx -c "$PWD/conf" -e "$PWD/error" -s stop
