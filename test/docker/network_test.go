package docker

// networkCases are of the networks that Docker makes. The daemon's own network namespace is
// the host's here.
var networkCases = []sameCase{
	{"bridge", `NET=bridge; run --rm bb sh -c 'ip -o -4 addr show eth0 | grep -c 172.30.0; ip route | grep -c "^default via 172.30.0.1 dev eth0"; ping -c1 172.30.0.1 | grep received'`},
	{"published port", `NET=bridge; run -d --name $N -p 127.0.0.1::80 -p 80/udp bb httpd -f -h /www >/dev/null; p=$(docker port $N 80/tcp | cut -d: -f2); eventually outside curl -sf -o /dev/null http://127.0.0.1:$p/ || { docker logs $N; outside iptables-save; outside ip addr; } >&2; outside curl -s http://127.0.0.1:$p/; docker port $N | sed 's/[0-9]*$/PORT/' | sort -u; a=$(docker inspect -f '{{.NetworkSettings.IPAddress}}' $N); outside curl -s http://$a/; docker stop -t 0 $N >/dev/null; outside curl -s --max-time 5 http://127.0.0.1:$p/; echo $?`},
	{"host network", `NET=host; run -d --name $N bb httpd -f -p 127.0.0.1:8001 -h /www >/dev/null; eventually outside curl -sf -o /dev/null http://127.0.0.1:8001/; outside curl -s http://127.0.0.1:8001/; run --rm bb sh -c 'wget -q -O- http://127.0.0.1:8001/; ip -o link | grep -c ": docker0:"; ip route | grep -c "dev docker0"'; docker inspect -f '{{.HostConfig.NetworkMode}}' $N`},
	{"user network", `docker network create --label case=$N $N >/dev/null; NET=$N; run -d --name web-$N --network-alias other bb httpd -f -h /www >/dev/null; eventually docker exec web-$N wget -q -O- http://127.0.0.1/; run --rm bb sh -c "wget -q -O- http://web-$N/; wget -q -O- http://other/; ping -c1 web-$N | grep received; grep nameserver /etc/resolv.conf; nslookup nobody-$N >/dev/null 2>&1; echo \$?"; docker exec web-$N wget -q -O- http://web-$N/`},
	{"connect and disconnect", `docker network create --label case=$N $N >/dev/null; NET=bridge; create --name $N bb sh -c 'ip -o -4 addr | grep -c eth; ip route | grep -c ^default' >/dev/null; docker network connect $N $N; docker start -a $N; docker network disconnect $N $N; docker start -a $N`},
	{"network of a container", `docker network create --label case=$N $N >/dev/null; NET=$N; run -d --name $N bb httpd -f -p 127.0.0.1:80 -h /www >/dev/null; eventually docker exec $N wget -q -O- http://127.0.0.1/; NET=container:$N; run --rm bb sh -c 'wget -q -O- http://127.0.0.1/; ip -o link | grep -c eth0; hostname' | sed "s/$(docker inspect -f '{{.Config.Hostname}}' $N)/HOST/"; docker exec $N ip -o link | grep -c eth0; run -d --name $N-2 bb sh -c 'echo second >/www/index.html; httpd -f -p 81 -h /www' >/dev/null; eventually docker exec $N wget -q -O- http://127.0.0.1:81/; docker exec $N wget -q -O- http://127.0.0.1:81/; docker kill $N-2; ended $N-2; docker exec $N wget -q -O- http://127.0.0.1/`},
	{"three that talk to each other", `docker network create --label case=$N $N >/dev/null; NET=$N
run -d --name redis-$N --network-alias redis debian redis-server --save '' --bind 0.0.0.0 --protected-mode no >/dev/null
run -d --name nginx-$N --network-alias web -p 127.0.0.1::80 debian sh -c 'echo the page >/var/www/html/index.html; exec nginx -g "daemon off;"' >/dev/null
p=$(docker port nginx-$N 80/tcp | cut -d: -f2); eventually outside curl -sf -o /dev/null http://127.0.0.1:$p/
run --rm debian sh -c 'until redis-cli -h redis ping; do sleep 0.1; done; redis-cli -h redis set page "$(curl -s http://web/)"; redis-cli -h redis get page; redis-benchmark -h redis -q -n 2000 -t set,get | grep -c "requests per second"; for i in 1 2 3 4 5; do curl -s http://web/; done' 2>/dev/null
docker exec redis-$N redis-cli get page; outside curl -s http://127.0.0.1:$p/
for i in redis nginx; do docker stop $i-$N >/dev/null; docker inspect -f '{{.State.ExitCode}}' $i-$N; done`},
}
