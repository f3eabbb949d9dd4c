#!/usr/bin/python3
"""The sqlite3 module: transactions, several connections and processes, write-ahead log."""
import os
import sqlite3
import tempfile
import threading

os.chdir(tempfile.mkdtemp(dir="/var/tmp"))
db = sqlite3.connect("test.db")
db.execute("create table t(id integer primary key, name text, data blob)")
with db:
    db.executemany("insert into t(name, data) values (?, ?)", ((f"n{i}", bytes([i % 256]) * 100) for i in range(10_000)))
print(db.execute("select count(*), sum(length(data)) from t").fetchone())
try:
    with db:
        db.execute("delete from t")
        raise RuntimeError("roll back")
except RuntimeError as e:
    print(e, db.execute("select count(*) from t").fetchone())
print(db.execute("pragma journal_mode=wal").fetchone())
other = sqlite3.connect("test.db")
with db:
    db.execute("update t set name = 'changed' where id = 1")
    print("isolated", other.execute("select name from t where id = 1").fetchone())
print("committed", other.execute("select name from t where id = 1").fetchone())
pid = os.fork()
if pid == 0:
    mine = sqlite3.connect("test.db", timeout=60)
    for i in range(50):
        with mine:
            mine.execute("insert into t(name) values ('child')")
    os._exit(0)
for i in range(50):
    db.execute("pragma busy_timeout = 60000")
    with db:
        db.execute("insert into t(name) values ('parent')")
os.waitpid(pid, 0)
print(db.execute("select name, count(*) from t where name in ('child', 'parent') group by name order by name").fetchall())


def read(results):
    c = sqlite3.connect("test.db")
    results.append(c.execute("select count(*) from t where id % 7 = 0").fetchone()[0])


results = []
ts = [threading.Thread(target=read, args=(results,)) for _ in range(6)]
[t.start() for t in ts]
[t.join() for t in ts]
print(results)
db.execute("begin exclusive")
locked = sqlite3.connect("test.db", timeout=0.05)
try:
    locked.execute("insert into t(name) values ('x')")
except sqlite3.OperationalError as e:
    print(e)
db.rollback()
print(db.execute("pragma integrity_check").fetchone())
db.backup(copy := sqlite3.connect(":memory:"))
print(copy.execute("select count(*) from t").fetchone())
db.close()
other.close()
locked.close()
print(sorted(os.listdir(".")))
