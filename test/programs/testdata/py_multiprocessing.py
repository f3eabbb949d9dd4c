#!/usr/bin/python3
"""multiprocessing: pools, queues, shared memory, locks, by fork and by spawn."""
import multiprocessing as mp
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import shared_memory


def square(x):
    return x * x


def add(counter, lock, n):
    for _ in range(n):
        with lock:
            counter.value += 1


def worker(jobs, results):
    for j in iter(jobs.get, None):
        results.put((j, sum(range(j))))


def fill(name, value):
    m = shared_memory.SharedMemory(name=name)
    for i in range(m.size):
        m.buf[i] = (value + i) % 256
    m.close()


def echo(conn):
    while (x := conn.recv()) is not None:
        conn.send(x[::-1])
    conn.close()


def main():
    with mp.Pool(4) as pool:
        print("pool", sum(pool.map(square, range(1000), chunksize=10)))
        print("imap", list(pool.imap(square, range(5))))
        try:
            pool.apply(int, ("x",))
        except ValueError as e:
            print("error", e)
    counter, lock = mp.Value("i", 0, lock=False), mp.Lock()
    ps = [mp.Process(target=add, args=(counter, lock, 200)) for _ in range(4)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    print("counter", counter.value, [p.exitcode for p in ps])
    jobs, results = mp.Queue(), mp.Queue()
    ps = [mp.Process(target=worker, args=(jobs, results)) for _ in range(3)]
    [p.start() for p in ps]
    [jobs.put(i) for i in range(100)]
    [jobs.put(None) for _ in ps]
    print("queue", sum(results.get()[1] for _ in range(100)))
    [p.join() for p in ps]
    m = shared_memory.SharedMemory(create=True, size=100_000)
    p = mp.Process(target=fill, args=(m.name, 7))
    p.start()
    p.join()
    print("shared memory", sum(m.buf), os.path.exists("/dev/shm/" + m.name))
    m.close()
    m.unlink()
    a, b = mp.Pipe()
    p = mp.Process(target=echo, args=(b,))
    p.start()
    for s in ("abc", "x" * 300_000):
        a.send(s)
        print("pipe", len(a.recv()))
    a.send(None)
    p.join()
    with mp.get_context("spawn").Pool(2) as pool:
        print("spawn", pool.map(square, [3, 4]))
    with mp.get_context("forkserver").Pool(2) as pool:
        print("forkserver", pool.map(square, [5, 6]))
    with ProcessPoolExecutor(3) as ex:
        print("executor", list(ex.map(square, range(10))))
    with mp.Manager() as manager:
        d = manager.dict()
        p = mp.Process(target=d.update, args=({"a": 1},))
        p.start()
        p.join()
        print("manager", dict(d))
    barrier, event, sem = mp.Barrier(2), mp.Event(), mp.Semaphore(0)

    def meet():
        barrier.wait()
        event.wait()
        sem.release()

    p = mp.Process(target=meet)
    p.start()
    barrier.wait()
    event.set()
    print("semaphore", sem.acquire(timeout=20))
    p.join()


if __name__ == "__main__":
    main()
