#!/bin/bash
# coreutils, findutils, tar, gzip and xz over thousands of files.
set -euo pipefail
dir=$(mktemp -d /var/tmp/coreutils.XXXXXX)
cd "$dir"

echo "== create"
mkdir tree
for d in {1..40}; do
	mkdir -p tree/d$d/{a,b}
	for f in {1..25}; do
		printf 'file %d in %d\n' $f $d >tree/d$d/a/f$f
		printf '%*s\n' $((f * 37)) $d >tree/d$d/b/g$f
	done
done
find tree -type f | wc -l
find tree -type d | wc -l
find tree -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum
find tree -type f -size +1 -printf '%s %p\n' | sort | md5sum

echo "== copy, move, link"
cp -a tree copy
diff -r tree copy && echo same
cp -al tree hard
stat -c %h tree/d1/a/f1
find hard -samefile tree/d7/b/g9
ln -s ../tree/d1 copy/link
readlink -f copy/link | sed "s,$dir,DIR,"
mv copy/d3 copy/moved
mv -T copy/moved/a copy/moved/c
ls copy/moved
rm -r hard/d1
stat -c %h tree/d1/a/f1
find hard -type f -delete
find hard -depth -type d -empty -exec rmdir {} +
test -e hard || echo "hard is gone"
cp --sparse=always /dev/null sparse
truncate -s 10M sparse
stat -c '%s %b' sparse
cp --reflink=auto -p tree/d1/a/f1 one
cmp one tree/d1/a/f1 && echo equal

echo "== owners, modes, times"
chmod 4751 one
stat -c '%A %a %U' one
chown 1000:2000 one
stat -c '%u:%g %a' one
touch -d '2001-02-03 04:05:06.789 UTC' one
TZ=UTC stat -c %y one
touch -r one two
test two -nt one || test two -ot one || echo "same time"
chmod -R u=rwX,go=rX copy
find copy -perm 644 | wc -l
mkdir sticky && chmod 1777 sticky && stat -c %A sticky
mkfifo fifo
mknod null c 1 3
stat -c '%F %t %T' fifo null
install -D -m 600 one deep/er/inst
ls -l deep/er | awk 'NR > 1 { print $1, $5, $9 }'

echo "== tar, gzip, xz"
tar --sort=name -cf t.tar tree copy one fifo
tar -tf t.tar | wc -l
mkdir x && tar -xf t.tar -C x
diff -r tree x/tree && echo "tar: same"
stat -c '%F %a %u' x/one x/fifo
tar -cz -f t.tar.gz tree && mkdir y && tar -xzf t.tar.gz -C y && diff -r tree y/tree && echo "gzip: same"
tar -cJ -f t.tar.xz tree && mkdir z && tar -xJf t.tar.xz -C z && diff -r tree z/tree && echo "xz: same"
xz -T2 -k -c t.tar | xz -dc | cmp - t.tar && echo "xz with threads: same"
gzip -t t.tar.gz && xz -t t.tar.xz && echo "archives are good"
(cd tree && tar -cf - .) | (mkdir pipe && cd pipe && tar -xf -) && diff -r tree pipe && echo "pipe: same"
find tree -type f | xargs -P 4 -n 100 gzip -9
find tree -name '*.gz' | wc -l
find tree -type f -print0 | xargs -0 -P 2 -n 200 gunzip
diff -r tree y/tree && echo "gunzip: same"

echo "== text"
seq 1 100000 >numbers
shuf --random-source=numbers numbers | sort -n | cmp - numbers && echo sorted
sort -R --random-source=numbers numbers | sort -S 1M -n -T . | md5sum
split -l 7000 numbers part. && cat part.* | cmp - numbers && ls part.* | wc -l
cut -c1-2 numbers | uniq -c | awk '{ s += $1 } END { print s }'
tac numbers >reverse && head -n 2 reverse
comm -12 <(seq 1 1000 | sort) <(seq 500 2000 | sort) | wc -l
join <(seq 1 10 | sort) <(seq 5 15 | sort) | tr '\n' ' '
echo
od -An -tx1 -N 16 numbers
base64 numbers | md5sum
wc numbers
expr 6 '*' 7
printf '%05.2f %s\n' 3.14159 pi
tail -c +100 numbers >rest && head -c 100000 rest | cksum
dd if=numbers of=patch bs=1k seek=5 count=3 conv=notrunc 2>/dev/null && stat -c %s patch
tail -f -n 1 --pid=$$ numbers >/dev/null &
kill $!
wait $! 2>/dev/null || true
timeout 0.2 sleep 10 || echo "timeout: $?"
nice -n 5 nice
tr -dc 0-9 <numbers | fold -w 70 | tail -n 1
date -u -d @86400 +%F
id -u
test -r /etc/passwd -a ! -w /proc/version && echo "test: fine"
truncate -s 5 patch && stat -c %s patch
sync patch
df --output=target / | tail -n 1

echo "== remove"
cd /
rm -rf "$dir"
test -e "$dir" || echo gone
