#!/bin/sh
# Builds the Debian 12 root file system that the tests run programs in, unless it is there:
# build.sh DIR. It takes debootstrap and some minutes; DIR is complete when it exists.
set -eu
dir=$1
[ -d "$dir" ] && exit 0
packages=bash,coreutils,findutils,tar,gzip,xz-utils,gcc,libc6-dev,make,python3,perl,git,sqlite3,redis-server,redis-tools
packages=$packages,nginx-light,curl,procps,iproute2,busybox-static,wrk,socat,file,less,strace,ca-certificates
mkdir -p "$(dirname "$dir")"
new=$dir.new
rm -rf "$new"
debootstrap --variant=minbase --include="$packages" bookworm "$new" >"$dir.log" 2>&1 || {
	tail -20 "$dir.log" >&2
	exit 1
}
rm -rf "$new/var/cache/apt/archives" "$new/var/lib/apt/lists"
mkdir -p "$new/var/cache/apt/archives/partial"
echo sandbox >"$new/etc/hostname"
# debootstrap copies the host's name servers, which no test reaches: to ask takes seconds then.
echo '# none' >"$new/etc/resolv.conf"
printf '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n' >"$new/etc/hosts"
mv "$new" "$dir"
