#!/bin/bash
# nginx with two workers, and curl, inside one sandbox.
set -euo pipefail
cd "$(mktemp -d /var/tmp/nginx.XXXXXX)"
chmod 755 .
mkdir html logs
for i in $(seq 1 50); do echo "page $i" >html/p$i.html; done
head -c 3000000 /dev/zero | tr '\0' 'x' >html/big
mkdir html/dir && touch html/dir/entry
cat >nginx.conf <<END
daemon on;
master_process on;
worker_processes 2;
pid $PWD/nginx.pid;
error_log $PWD/logs/error.log notice;
events { worker_connections 256; }
http {
	access_log $PWD/logs/access.log;
	client_body_temp_path $PWD/body;
	proxy_temp_path $PWD/proxy;
	sendfile on;
	tcp_nopush on;
	gzip on;
	gzip_types text/plain;
	default_type text/plain;
	keepalive_timeout 5;
	upstream back { server unix:$PWD/back.sock; }
	server {
		listen 127.0.0.1:8080;
		root $PWD/html;
		location /dir/ { autoindex on; }
		location /proxy/ { proxy_pass http://back/; }
		location /old { return 301 /p1.html; }
	}
	server { listen unix:$PWD/back.sock; root $PWD/html; }
}
END
trap 'status=$?; if [ $status != 0 ]; then cat logs/error.log; kill $(cat nginx.pid); fi' EXIT
nginx -t -q -c "$PWD/nginx.conf" -e "$PWD/logs/error.log"
nginx -c "$PWD/nginx.conf" -e "$PWD/logs/error.log"
u=http://127.0.0.1:8080
get() { curl -sS --max-time 30 "$@"; }
get $u/p1.html
get -o /dev/null -w '%{http_code} %{size_download}\n' $u/big
get $u/big | md5sum
get -r 100-199 -o /dev/null -w '%{http_code} %{size_download}\n' $u/big
get -o /dev/null -w '%{http_code}\n' $u/missing
get -I $u/p2.html | tr -d '\r' | grep -E '^(HTTP|Content-Length)'
get -L $u/old
get --compressed $u/big | wc -c
get $u/proxy/p7.html
get $u/proxy/big | md5sum
get $u/dir/ | grep -o 'entry</a>'
for i in $(seq 1 50); do echo "url = $u/p$i.html"; done >urls
get -K urls | md5sum
seq 1 40 | xargs -P 8 -I{} curl -sS --max-time 30 $u/p{}.html | sort | md5sum
get -d 'a=b' -o /dev/null -w '%{http_code}\n' $u/p1.html
echo changed >html/p1.html
get $u/p1.html
nginx -c "$PWD/nginx.conf" -e "$PWD/logs/error.log" -s reload
until grep -q 'gracefully shutting down' logs/error.log; do sleep 0.05; done
get $u/p3.html
pid=$(cat nginx.pid)
nginx -c "$PWD/nginx.conf" -e "$PWD/logs/error.log" -s quit
while kill -0 "$pid" 2>/dev/null && [ "$(ps -o stat= -p "$pid" | cut -c1)" != Z ]; do sleep 0.05; done
test -e nginx.pid || echo "nginx has ended"
curl -s --max-time 5 $u/p1.html || echo "curl: $?"
grep -c ' 200 ' logs/access.log
