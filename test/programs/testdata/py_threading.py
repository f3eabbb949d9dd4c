#!/usr/bin/python3
"""threading: locks, conditions, queues, timers, many threads."""
import os
import queue
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.setswitchinterval(0.0005)
total, lock = 0, threading.Lock()


def add():
    global total
    for _ in range(5000):
        with lock:
            total += 1


ts = [threading.Thread(target=add) for _ in range(8)]
[t.start() for t in ts]
[t.join() for t in ts]
print("total", total)

q, out = queue.Queue(maxsize=10), []


def consume():
    while (x := q.get()) is not None:
        with lock:
            out.append(x)


ts = [threading.Thread(target=consume) for _ in range(4)]
[t.start() for t in ts]
for i in range(2000):
    q.put(i)
[q.put(None) for _ in ts]
[t.join() for t in ts]
print("queue", len(out), sum(out))

barrier = threading.Barrier(200)
met = []


def meet():
    barrier.wait()
    met.append(1)


threading.stack_size(256 * 1024)
ts = [threading.Thread(target=meet) for _ in range(200)]
[t.start() for t in ts]
[t.join() for t in ts]
print("barrier", len(met))

cond, turn, trace = threading.Condition(), 0, []


def alternate(me):
    global turn
    for _ in range(300):
        with cond:
            cond.wait_for(lambda: turn == me)
            trace.append(me)
            turn = 1 - me
            cond.notify_all()


ts = [threading.Thread(target=alternate, args=(i,)) for i in (0, 1)]
[t.start() for t in ts]
[t.join() for t in ts]
print("turns", len(trace), trace[:4])

fired = threading.Event()
threading.Timer(0.05, fired.set).start()
print("timer", fired.wait(20))
print("lock with a time-out", (lock.acquire(), lock.acquire(timeout=0.05))[1])
lock.release()
local = threading.local()


def use(n):
    local.x = n
    time.sleep(0.001)
    return local.x == n


with ThreadPoolExecutor(16) as ex:
    print("thread-local", all(ex.map(use, range(200))))
with ThreadPoolExecutor(4) as ex:
    print("system calls", sum(ex.map(lambda i: len(os.listdir("/etc")) > 0, range(300))))
got = []
signal.signal(signal.SIGUSR1, lambda s, f: got.append(threading.current_thread() is threading.main_thread()))
t = threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1))
t.start()
t.join()
for _ in range(1000):
    if got:
        break
    time.sleep(0.01)
print("signal in the main thread", got)
print("native ids differ", len({threading.get_native_id(), os.getpid()}) == 1)
sys.stdout.flush()
pid = os.fork()
if pid == 0:
    t = threading.Thread(target=print, args=("thread in a child",), kwargs={"flush": True})
    t.start()
    t.join()
    os._exit(4)
print("child", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
t = threading.Thread(target=time.sleep, args=(1000,), daemon=True)
t.start()
