#!/bin/busybox ash
# The ash shell of a static busybox and its applets.
set -eu
cd "$(mktemp -d /tmp/busybox.XXXXXX)"
b=busybox

fib() {
	if [ "$1" -lt 2 ]; then echo "$1"; else echo $(($(fib $(($1 - 1))) + $(fib $(($1 - 2))))); fi
}
echo "fib 8: $(fib 8)"

i=0
while [ $i -lt 200 ]; do
	echo "line $i of file $((i % 7))" >"f$i"
	i=$((i + 1))
done
echo "files: $($b ls | $b wc -l)"
$b cat f* | $b sort -k5n -k2n | $b md5sum
$b find . -type f -name 'f1*' | $b xargs $b grep -l 'file 3' | $b sort | $b head -n 5

$b awk '{ n[$5]++ } END { for (k in n) print k, n[k] }' f* | $b sort -n
$b sed -n 's/line \(.*\) of/<\1>/p' f42
cat <<-END | $b tr a-z A-Z
	here $((6 * 7)) document
	in ash
END

mkdir -p d/e/g
$b cp -a f1 f2 f3 d/e/g
$b ln -s e/g/f1 d/link
$b ln d/e/g/f2 d/hard
$b tar -cf d.tar d
$b gzip -9 -c d.tar | $b gunzip -c | $b cmp - d.tar && echo "gzip: same"
mkdir out
$b tar -xf d.tar -C out
$b diff -r d out/d && echo "tar: same"
$b readlink out/d/link
$b stat -c '%n %h %s %A' out/d/hard out/d/e/g
$b dd if=/dev/zero bs=4096 count=64 2>/dev/null | $b sha256sum

trap 'echo caught USR1' USR1
kill -USR1 $$
(
	trap 'echo subshell ends' EXIT
	exit 7
) || echo "status $?"
$b sleep 100 &
kill -PIPE %1
wait $! || echo "killed: $?"
$b seq 1 1000 | $b tail -n +990 | while read -r n; do printf '%s,' "$n"; done
echo
$b vi --help >/dev/null 2>&1 || true
$b uname -s
$b env -i A=1 B=2 $b env | $b sort
echo 'one two three' | { read -r a rest; echo "$rest/$a"; }
$b mkfifo pipe
echo through >pipe &
read -r line <pipe
echo "$line"
wait
$b nc -l -p 7001 -e $b cat &
for try in 1 2 3 4 5 6 7 8 9 10; do
	echo echoed | $b timeout 5 $b nc 127.0.0.1 7001 2>/dev/null && break
	$b usleep 100000
done
$b rm -r d out f* ./*.tar
$b ls
