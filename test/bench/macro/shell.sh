#!/bin/sh
# A shell that starts many small programs.
. /bench/macro/lib.sh
cat >loop.sh <<'END'
i=0
while [ $i -lt 150 ]; do
	/bin/true
	x=$(echo $i | tr 0-9 a-j)
	i=$((i + 1))
done
END
timed shell_programs sh loop.sh
timed shell_pipeline sh -c 'seq 1 200000 | grep 7 | sort -rn | uniq | wc -l'
