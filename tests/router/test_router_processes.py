"""The `router` program as processes: one port, workers that die and come back, the end."""

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

from dynod.model.route import Limits
from dynod.model.settings import routes_file
from dynod.wire import table as table_codec
from router.__main__ import options
from router.master import Options, listen
from tests.router.routing import GET, HELLO, NO_LIMITS, SLOW, Connection, FakeDyno, canned, run, table

MOVED_TO = 0x80


class Router:
    """A started `router`; `announced` waits until router.json says something new, which inotify tells."""

    def __init__(self, directory: str) -> None:
        self.run = f"{directory}/run"
        self.state = f"{directory}/state"
        os.makedirs(self.run)
        os.makedirs(f"{self.state}/router")
        self._libc = ctypes.CDLL(None)
        self._inotify = self._libc.inotify_init()
        self._libc.inotify_add_watch(self._inotify, self.run.encode(), MOVED_TO)

    def start(self, *more: str, **how) -> None:
        argv = [sys.executable, "-m", "router", "--run", self.run, "--state", self.state, *more]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, **how)
        self.pidfd = os.pidfd_open(self.process.pid)

    async def announced(self) -> tuple[int, list[int]]:
        await readable(self._inotify)
        os.read(self._inotify, 65536)
        with open(f"{self.run}/router.json", encoding="utf-8") as file:
            said = json.load(file)
        return int(said["listen"].rpartition(":")[2]), said["pids"]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        os.close(self.pidfd)
        os.close(self._inotify)


async def readable(fd: int) -> None:
    """Wait for a pidfd's end or an inotify's news, in a way that a test's cap can break off."""
    loop = asyncio.get_running_loop()
    came = asyncio.Event()
    loop.add_reader(fd, came.set)
    try:
        await came.wait()
    finally:
        loop.remove_reader(fd)


ended = readable


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


@contextlib.asynccontextmanager
async def started(answer=None, *more: str, workers: int = 2, limits: Limits = NO_LIMITS):
    dyno = FakeDyno(answer)
    backend = await dyno.open()
    with tempfile.TemporaryDirectory() as directory:
        router = Router(directory)
        with open(routes_file(router.state), "wb") as file:
            file.write(table_codec.encode(table(backend, limits=limits)))
        router.start(*(more or ("--listen", "127.0.0.1:0")), "--workers", str(workers))
        try:
            yield router, dyno
        finally:
            router.close()
            await dyno.close()


def test_port_0_gives_one_port_to_all_workers_and_a_hangup_changes_nothing():
    async def test():
        async with started(workers=3) as (router, _):
            port, pids = await router.announced()
            assert len(set(pids)) == 3
            router.process.send_signal(signal.SIGHUP)
            os.kill(pids[0], signal.SIGHUP)
            for _ in range(12):
                async with await connect(port) as connection:
                    assert (await connection.ask()).body == b"hello"
            router.process.send_signal(signal.SIGTERM)
            await ended(router.pidfd)
            assert router.process.wait() == 0

    run(test, SLOW)


def test_all_workers_together_keep_to_what_a_dyno_may_have_in_flight():
    async def test():
        busy = most = 0
        full, ended = asyncio.Event(), asyncio.Event()

        async def answer(head, reader, writer):
            nonlocal busy, most
            busy += 1
            most = max(most, busy)
            if busy == 4:
                full.set()
            await ended.wait()
            busy -= 1
            writer.write(HELLO)
            return True

        async with started(answer, limits=Limits(in_flight=4, backlog=50)) as (router, _):
            port, _ = await router.announced()
            clients = [await connect(port) for _ in range(40)]
            for client in clients:
                client.writer.write(GET)
            await full.wait()
            ended.set()
            for client in clients:
                assert (await client.response()).body == b"hello"
            assert most == 4

    run(test, SLOW)


def worker_of(port: int, connection: Connection, pids: list[int]) -> int:
    """Which worker has accepted a connection: the one whose descriptors show its socket."""
    _, mine = connection.writer.get_extra_info("sockname")
    with open("/proc/net/tcp", encoding="ascii") as file:
        rows = [line.split() for line in file.read().splitlines()[1:]]
    inode = next(
        row[9] for row in rows if row[1].endswith(f":{port:04X}") and row[2].endswith(f":{mine:04X}")
    )
    for pid in pids:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                if os.readlink(f"/proc/{pid}/fd/{fd}") == f"socket:[{inode}]":
                    return pid
    raise AssertionError("nobody has it")


def test_a_killed_worker_takes_only_its_own_connections_with_it_and_is_replaced():
    async def test():
        async with started() as (router, _):
            port, pids = await router.announced()
            connections = [await connect(port) for _ in range(16)]
            for connection in connections:
                await connection.ask()
            owners = [worker_of(port, connection, pids) for connection in connections]
            assert set(owners) == set(pids)
            os.kill(pids[0], signal.SIGKILL)
            for connection, owner in zip(connections, owners, strict=True):
                if owner == pids[0]:
                    assert await connection.closed() in {b"", b"reset"}
                else:
                    assert (await connection.ask()).body == b"hello"
            _, now = await router.announced()
            while len(now) < 2:
                _, now = await router.announced()
            assert pids[0] not in now
            assert pids[1] in now
            for _ in range(16):
                async with await connect(port) as connection:
                    assert (await connection.ask()).body == b"hello"
            for connection in connections:
                connection.writer.transport.abort()

    run(test, SLOW)


def test_sigterm_lets_requests_under_way_end():
    async def test():
        began = asyncio.Event()
        go = asyncio.Event()

        async def answer(head, reader, writer):
            began.set()
            await go.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
            return True

        async with started(answer, workers=1) as (router, _):
            port, _ = await router.announced()
            async with await connect(port) as busy, await connect(port) as idle:
                busy.writer.write(GET)
                await began.wait()
                router.process.send_signal(signal.SIGTERM)
                # The signal has arrived: who has nothing under way is closed.
                assert await idle.closed() == b""
                go.set()
                response = await busy.response()
                assert (response.body, response.get("Connection")) == (b"done", "close")
                assert await busy.closed() == b""
            await ended(router.pidfd)
            assert router.process.wait() == 0

    run(test, SLOW)


def test_workers_follow_their_master():
    async def test():
        async with started() as (router, _):
            _, pids = await router.announced()
            pidfds = [os.pidfd_open(pid) for pid in pids]
            router.process.kill()
            for pidfd in pidfds:
                await ended(pidfd)
                os.close(pidfd)

    run(test, SLOW)


def test_listening_sockets_may_be_inherited():
    async def test():
        with socket.socket() as listener, tempfile.TemporaryDirectory() as directory:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            dyno = FakeDyno(canned(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
            router = Router(directory)
            with open(routes_file(router.state), "wb") as file:
                file.write(table_codec.encode(table(await dyno.open())))
            router.start("--fd", str(listener.fileno()), "--workers", "2", pass_fds=[listener.fileno()])
            port, pids = await router.announced()
            assert (port, len(pids)) == (listener.getsockname()[1], 2)
            async with await connect(port) as connection:
                assert (await connection.ask()).status == 200
            router.close()
            await dyno.close()

    run(test, SLOW)


def test_the_command_line():
    assert options(["--run", "/r", "--state", "/s", "--listen", "[::1]:0", "--workers", "3"]) == Options(
        "/r", "/s", "::1", 0, 3
    )
    for bad in (["--listen", "8080"], ["--workers", "0"]):
        with pytest.raises(SystemExit) as exit:
            options(["--run", "/r", "--state", "/s", *bad])
        assert exit.value.code == 2


def test_sockets_share_a_port_that_was_0():
    listeners = listen(Options("/r", "/s", port=0, workers=3))
    assert len({listener.getsockname() for listener in listeners}) == 1
    for listener in listeners:
        listener.close()


def test_a_taken_address_is_said_in_one_line():
    with socket.socket() as taken, tempfile.TemporaryDirectory() as directory:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        argv = [sys.executable, "-m", "router", "--run", directory, "--state", directory, "--listen", address]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        f"router: cannot listen on {address}: Address already in use\n",
    )
