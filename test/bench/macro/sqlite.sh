#!/bin/sh
# sqlite3: one large transaction, and many small ones.
. /bench/macro/lib.sh
timed sqlite_large sqlite3 db 'create table t(a, b);' 'with recursive n(i) as (select 1 union all select i + 1 from n where i < 150000) insert into t select i, i * 7 from n;' 'create index i on t(b);' 'select count(*) from t where b % 3 = 0;'
i=0
while [ $i -lt 200 ]; do
	echo "insert into t values($i, $i);"
	i=$((i + 1))
done >inserts
timed sqlite_small sqlite3 db '.read inserts'
