#!/usr/bin/python3
"""asyncio: streams over TCP and UNIX sockets, subprocesses, executors, signals, time-outs."""
import asyncio
import os
import signal
import tempfile


async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def talk(open_connection, name, n):
    reader, writer = await open_connection()
    for i in range(n):
        writer.write(f"{name} {i}\n".encode())
        line = await reader.readline()
        assert line == f"{name} {i}\n".upper().encode(), line
    writer.close()
    await writer.wait_closed()
    return n


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, done=None):
        self.done = done

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        if self.done:
            self.done.set_result(data)
        else:
            self.transport.sendto(data[::-1], addr)


async def main():
    loop = asyncio.get_running_loop()
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    counts = await asyncio.gather(*(talk(lambda: asyncio.open_connection("127.0.0.1", port), f"c{i}", 20) for i in range(20)))
    print("tcp", sum(counts))
    server.close()
    await server.wait_closed()
    path = tempfile.mkdtemp() + "/sock"
    server = await asyncio.start_unix_server(serve, path)
    counts = await asyncio.gather(*(talk(lambda: asyncio.open_unix_connection(path), f"u{i}", 20) for i in range(10)))
    print("unix", sum(counts))
    server.close()
    t, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", 0))
    done = loop.create_future()
    c, _ = await loop.create_datagram_endpoint(lambda: Datagrams(done), remote_addr=t.get_extra_info("sockname"))
    c.sendto(b"datagram")
    print("udp", await asyncio.wait_for(done, 20))
    c.close()
    t.close()
    p = await asyncio.create_subprocess_exec("sort", "-n", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE)
    out, _ = await p.communicate(b"\n".join(str(i * 7 % 101).encode() for i in range(101)))
    print("subprocess", out.split()[:3], p.returncode)
    ps = [await asyncio.create_subprocess_shell(f"exit {i}") for i in range(8)]
    print("exits", [await p.wait() for p in ps])
    try:
        await asyncio.wait_for(asyncio.sleep(100), 0.05)
    except asyncio.TimeoutError:
        print("timeout")
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    os.kill(os.getpid(), signal.SIGUSR1)
    await asyncio.wait_for(got.wait(), 20)
    print("signal")
    print("executor", await asyncio.gather(*(loop.run_in_executor(None, lambda i=i: i * i) for i in range(10))))
    q, seen = asyncio.Queue(5), []

    async def consume():
        while (x := await q.get()) is not None:
            seen.append(x)

    task = asyncio.create_task(consume())
    for x in [*range(500), None]:
        await q.put(x)
    await task
    print("queue", sum(seen))
    sem = asyncio.Semaphore(3)

    async def limited():
        async with sem:
            await asyncio.sleep(0.001)
            return 1

    print("tasks", sum(await asyncio.gather(*(limited() for _ in range(100)))))
    print(type(loop._selector).__name__)


asyncio.run(main())
