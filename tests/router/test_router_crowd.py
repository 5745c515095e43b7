"""Ten thousand clients that have asked once and say nothing any more: others are served beside them, and each costs little."""

import asyncio
import contextlib
import os
import resource
import signal
import socket

from tests.router.routing import GET, run
from tests.router.test_router_processes import connect, ended, started

CROWD = 10_000
EACH = 15 * 1024  # bytes of the worker's memory


@contextlib.contextmanager
def descriptors(count):
    """Have so many of them, or as many as there may be; yield how many that is."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield min(count, before[1] - 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def memory(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) * 1024


async def ask_once(port, count, stack):
    """Open connections, one request on each, a few at a time."""
    loop = asyncio.get_running_loop()

    async def one():
        client = stack.enter_context(socket.socket())
        client.setblocking(False)
        await loop.sock_connect(client, ("127.0.0.1", port))
        await loop.sock_sendall(client, GET)
        said = b""
        while not said.endswith(b"hello"):
            said += await loop.sock_recv(client, 4096)

    for _ in range(count // 50):
        await asyncio.gather(*[one() for _ in range(50)])


def test_ten_thousand_idle_connections_cost_little_and_hold_up_nobody():
    async def test():
        with descriptors(CROWD) as count, contextlib.ExitStack() as crowd:
            async with started(workers=1) as (router, _):
                port, (worker,) = await router.announced()
                await ask_once(port, 50, crowd)
                before = memory(worker)
                await ask_once(port, count, crowd)
                assert (memory(worker) - before) / count < EACH
                async with await connect(port) as other:
                    assert (await other.ask()).body == b"hello"
                os.kill(router.process.pid, signal.SIGTERM)
                await ended(router.pidfd)  # nobody waits for who says nothing
                assert router.process.wait() == 0

    run(test, cap=280)
