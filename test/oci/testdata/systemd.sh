# systemd.sh DIR GROUP boots systemd over the host's files, without changing them: as process 1
# of a pid namespace, in the control group GROUP of each of the host's hierarchies, which is the
# root that it sees. DIR is an empty directory. It has nothing to do but to serve D-Bus.
set -e
dir=$1 group=$2
# Points, types and options of what is mounted of control groups.
hierarchies() { awk '$8 ~ /^cgroup/ && $5 ~ "^/sys/fs/cgroup" {sub("^rw,?", "", $10); print $5, $8, $10}' /proc/self/mountinfo; }
if [ "$3" != inside ]; then
	hierarchies | while read -r point _; do
		mkdir $point/$group
		for f in cpuset.cpus cpuset.mems; do # version 1 has them empty
			[ ! -e $point/cpuset.cpu_exclusive ] || cat $point/$f >$point/$group/$f
		done
		echo $$ >$point/$group/cgroup.procs
	done
	exec unshare --pid --fork --kill-child --mount --propagation private --cgroup sh $0 $dir $group inside
fi
mount -t tmpfs tmpfs $dir
mkdir $dir/upper $dir/work $dir/root
root=$dir/root
mount -t overlay overlay -o lowerdir=/,upperdir=$dir/upper,workdir=$dir/work $root
mount -t proc proc $root/proc
mount -t sysfs sysfs $root/sys
hierarchies | grep -q '^/sys/fs/cgroup ' || mount -t tmpfs tmpfs $root/sys/fs/cgroup
hierarchies | while read -r point type options; do
	mkdir -p $root$point
	mount -t $type ${options:+-o $options} $type $root$point
done
mount --rbind /dev $root/dev
mount -t tmpfs tmpfs $root/run
mkdir -p $root/etc/systemd/system $root/old
printf '[Unit]\nDefaultDependencies=no\n' >$root/etc/systemd/system/casemate.target
cd $root
pivot_root . old # in a chroot no user namespace could be made
export container=casemate
exec chroot . sh -c 'umount -l /old; exec /lib/systemd/systemd --system --unit=casemate.target --log-target=console --show-status=0'
