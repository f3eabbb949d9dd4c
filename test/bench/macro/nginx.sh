# Read by those that run nginx: nginx_conf PORT prints a configuration for it, and there are
# files to serve, small and large.
mkdir www
echo hello >www/small
head -c 100000 /dev/zero >www/large
chmod 755 .
nginx_conf() {
	cat <<END
worker_processes 1;
pid $PWD/pid;
error_log $PWD/error;
events { worker_connections 512; }
http {
	access_log off;
	sendfile on;
	client_body_temp_path $PWD/1; proxy_temp_path $PWD/2; fastcgi_temp_path $PWD/3; uwsgi_temp_path $PWD/4; scgi_temp_path $PWD/5;
	server { listen $1; root $PWD/www; }
}
END
}
