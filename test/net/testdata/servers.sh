# Starts servers of many kinds. servers.sh keys DIR makes the keys that servers and clients need; servers.sh DIR starts the
# servers, with what they write in a directory of their own, and stays.
set -e
if [ "$1" = keys ]; then
	cd "$2"
	ssh-keygen -q -t ed25519 -N '' -f host
	ssh-keygen -q -t ed25519 -N '' -f user
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test -keyout tls.key -out tls.pem 2>/dev/null
	head -c 3000000 /dev/urandom >data
	exit
fi
keys=$1
dir=$(mktemp -d)
chmod 755 "$dir"
mkdir -p /run/sshd "$dir/www"
cp "$keys/data" "$dir/www"
cp "$keys/host" "$keys/user.pub" "$dir"
chmod 600 "$dir/host"
chmod 644 "$dir/user.pub" "$dir/www/data"
cat >"$dir/sshd" <<C
Port 2222
HostKey $dir/host
AuthorizedKeysFile $dir/user.pub
PermitRootLogin yes
StrictModes no
UsePAM no
PidFile none
Subsystem sftp internal-sftp
C
cat >"$dir/nginx" <<C
daemon off;
pid $dir/nginx.pid;
error_log $dir/nginx.log;
events {}
http {
	access_log off;
	client_body_temp_path $dir;
	proxy_temp_path $dir;
	fastcgi_temp_path $dir;
	uwsgi_temp_path $dir;
	scgi_temp_path $dir;
	server {
		listen 8080;
		listen [::]:8080;
		listen 8443 ssl http2;
		listen [::]:8443 ssl http2;
		ssl_certificate $keys/tls.pem;
		ssl_certificate_key $keys/tls.key;
		root $dir/www;
	}
}
C
cat >"$dir/haproxy" <<C
defaults
	mode http
	timeout connect 10s
	timeout client 60s
	timeout server 60s
frontend in
	bind :::8090 v4v6
	default_backend web
backend web
	server one 127.0.0.1:8080
C
cat >"$dir/rsyncd" <<C
use chroot = no
reverse lookup = no
[www]
	path = $dir/www
	read only = yes
	uid = root
	gid = root
C
/usr/sbin/sshd -D -e -f "$dir/sshd" 2>"$dir/sshd.log" &
nginx -c "$dir/nginx" &
haproxy -f "$dir/haproxy" -db 2>/dev/null &
rsync --daemon --no-detach --config="$dir/rsyncd" --port=8730 &
openssl s_server -accept 8444 -cert "$keys/tls.pem" -key "$keys/tls.key" -www -quiet &
iperf3 -s >/dev/null &
python3 "$(dirname "$0")/servers.py" &
trap 'rm -rf "$dir"' EXIT TERM
wait
