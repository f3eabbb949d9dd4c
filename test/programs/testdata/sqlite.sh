#!/bin/bash
# sqlite3: transactions, journals, write-ahead log, several processes on one database.
set -euo pipefail
cd "$(mktemp -d /var/tmp/sqlite.XXXXXX)"
sqlite3 a.db <<'END'
create table t(id integer primary key, k text, v integer);
begin;
with recursive n(i) as (select 1 union all select i+1 from n where i < 20000) insert into t select i, 'key ' || (i * 7919 % 20011), i * i from n;
commit;
create index tk on t(k);
select count(*), sum(v), min(k), max(k) from t;
update t set v = -v where id % 3 = 0;
delete from t where id % 5 = 0;
select count(*), sum(v) from t;
pragma integrity_check;
begin; delete from t; rollback;
select count(*) from t;
vacuum;
pragma page_count;
END
for mode in wal truncate persist memory; do
	sqlite3 a.db "pragma journal_mode=$mode; insert into t(k, v) values ('$mode', 1); select count(*) from t where k = '$mode';"
done
sqlite3 a.db 'pragma journal_mode=wal' >/dev/null
for w in 1 2 3 4; do
	(for i in $(seq 1 25); do echo "insert into t(k, v) values ('w$w', $i);"; done | sqlite3 -cmd '.timeout 60000' a.db) &
done
wait
sqlite3 a.db "select k, count(*), sum(v) from t where k like 'w_' group by k order by k; pragma integrity_check;"
sqlite3 a.db .dump | sqlite3 b.db
sqlite3 b.db 'select count(*), sum(v) from t'
sqlite3 -cmd '.mode csv' a.db 'select * from t order by id limit 3'
ls | sort
