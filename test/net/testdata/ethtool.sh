# Generic netlink, and what ethtool asks by it of a veth and of the loopback.
exec 2>&1
ip link set lo up; ip link add eth0 type veth peer name v1; ip link set eth0 up; ip link set v1 up
told() { echo "> $*"; "$@"; }
for family in nlctrl ethtool; do told genl ctrl get name $family | sed -n 's/^\(Name:.*\|.*name: .*\)/\1/p' | sed 's/ID-[^ ]*//'; done
told genl ctrl get id 16 | grep Name; told genl ctrl get name nosuch; genl ctrl list | grep -cE "Name: (nlctrl|ethtool)$"
for d in eth0 lo; do
	# Here nothing can be switched off, and what can never be on is not told of.
	told ethtool -k $d | sed 's/ \[fixed\]//' | grep ": on"; told ethtool -k $d | sed -n 's/ \[fixed\]//; /generic-receive/p'
	for option in "" -i -g -a -c -P -m --show-eee --show-fec --show-tunnels --show-priv-flags; do told ethtool $option $d; echo $?; done
done
# Linux has a queue for each processor.
told ethtool -l eth0 | sed 's/[0-9][0-9]*$/some/'; told ethtool -l lo; told ethtool --json -P eth0; told ethtool -T eth0
told ethtool -S eth0 | grep -v xdp | grep -v "drops:"; told ethtool -S lo
for option in "" -k -l -g -T; do told ethtool $option nosuch; done
ip link set v1 down; told ethtool eth0 | tail -1; ip link set lo down; told ethtool lo | tail -1
