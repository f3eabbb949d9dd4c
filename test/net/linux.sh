#!/bin/sh
# linux.sh NAME: prints what testdata/NAME.sh prints under Debian's user-mode-linux, a Linux with kinds of
# devices that the host's kernel may not have. That is what testdata/NAME.txt holds. The package is taken
# apart, not installed.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
if [ "${2-}" = inside ]; then # as the first process of that Linux
	export PATH=/usr/sbin:/usr/bin:/sbin:/bin
	mount -t proc proc /proc
	echo 1 >/proc/sys/kernel/printk
	mount -t sysfs sys /sys
	mount -t tmpfs run /run
	cd "$here"
	while read -r module; do busybox insmod "$DIR/$module"; done <"$DIR/load"
	ip link set lo up
	ip link del dummy0 || true # comes with its module
	echo BEGIN
	sh "testdata/$1.sh"
	echo END
	echo o >/proc/sysrq-trigger
	sleep 60
fi
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
chmod 755 .
apt-get download -q user-mode-linux >&2
dpkg -x user-mode-linux*.deb .
modules=$(echo usr/lib/uml/modules/*)
for m in 8021q bridge dummy veth macvlan ipvlan tun; do
	# What a module needs comes behind it, in the opposite order.
	sed -n "s,.*/$m.ko:.*,&,p" "$modules/modules.dep" | tr -d : | tr ' ' '\n' | tac
done | awk -v m="$modules/" 'NF && !seen[$0]++ { print m $0 }' >load
usr/bin/linux.uml mem=256M root=/dev/root rootfstype=hostfs rootflags=/ ro quiet con=null con0=fd:0,fd:1 \
	DIR="$dir" init="$here/linux.sh" -- "$1" inside </dev/null 2>/dev/null | tr -d '\r' | sed '1,/^BEGIN$/d; /^END$/,$d'
