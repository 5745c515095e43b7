"""Workers whose loop does not turn any more: who is taken for one, and what becomes of it; and the words by which systemd watches the master."""

import contextlib
import os
import re
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from router.pulse import SILENT, STARTING, Pulse
from tests.router.routing import SLOW, FakeDyno, run, table
from tests.router.test_router_processes import (
    Router,
    connect,
    ended,
    readable,
    routes_file,
    table_codec,
    worker_of,
)

LOOK = ("--look", "1")


@pytest.fixture
def pipes():
    ends = [os.pipe2(os.O_NONBLOCK) for _ in range(2)]
    yield ends
    for read, write in ends:
        os.close(write)
        try:
            os.close(read)
        except OSError:
            assert read


def test_who_is_silent_for_some_rounds_is_stuck_and_who_says_a_byte_now_and_then_is_not(pipes):
    pulse = Pulse()
    pulse.watch(1, pipes[0][0])
    pulse.watch(2, pipes[1][0])
    for _ in range(SILENT - 1):
        os.write(pipes[1][1], b"1")
        assert pulse.stuck() == []
    os.write(pipes[1][1], b"11")
    assert pulse.stuck() == [1]
    pulse.forget(1)
    pulse.forget(1)  # or was never watched
    for _ in range(SILENT - 1):
        assert pulse.stuck() == []
    os.write(pipes[1][1], b"1")
    assert pulse.stuck() == [], "it is counted anew"
    pulse.close()
    assert pulse.stuck() == []


def test_who_never_begins_to_serve_is_stuck_and_has_longer_for_it(pipes):
    pulse = Pulse()
    pulse.born(1)
    for _ in range(STARTING - 1):
        assert pulse.stuck() == []
    assert pulse.stuck() == [1]
    pulse.forget(1)
    pulse.born(1)
    for _ in range(STARTING - 1):
        assert pulse.stuck() == []
    pulse.watch(1, pipes[0][0])
    for _ in range(SILENT - 1):
        assert pulse.stuck() == []
    assert pulse.stuck() == [1]


def started_with(directory, dyno_port, *words, **how):
    router = Router(directory)
    with open(routes_file(router.state), "wb") as file:
        file.write(table_codec.encode(table(dyno_port)))
    router.start("--listen", "127.0.0.1:0", "--workers", "2", *words, **how)
    return router


def with_router(test, *words):
    async def whole():
        dyno = FakeDyno(None)
        backend = await dyno.open()
        with tempfile.TemporaryDirectory() as directory:
            router = started_with(directory, backend, *words)
            try:
                await test(router)
            finally:
                router.close()
                await dyno.close()

    run(whole, SLOW)


async def served_by(worker, port, pids):
    """Ask until that worker has answered."""
    while True:
        async with await connect(port) as connection:
            assert (await connection.ask()).body == b"hello"
            if worker_of(port, connection, pids) == worker:
                return


@pytest.mark.parametrize("serves", [False, True], ids=["before it serves", "while it serves"])
def test_a_worker_that_hangs_is_killed_and_another_serves_in_its_place(serves):
    async def test(router):
        port, (stuck, other) = await router.announced()
        if serves:
            await served_by(stuck, port, [stuck, other])
        pidfd = os.pidfd_open(stuck)
        os.kill(stuck, signal.SIGSTOP)
        try:
            await ended(pidfd)
        finally:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, signal.SIGCONT)
            os.close(pidfd)
        pids = [stuck]
        while stuck in pids or len(pids) < 2:
            _, pids = await router.announced()
        assert other in pids, "who turns is left alone"
        for _ in range(8):
            async with await connect(port) as connection:
                assert (await connection.ask()).body == b"hello"

    with_router(test, *LOOK)


class Systemd:
    """Where the router says its words."""

    def __init__(self, directory):
        self.path = f"{directory}/notify"
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.bind(self.path)

    async def hear(self):
        await readable(self.sock.fileno())
        return self.sock.recv(4096).decode()

    async def but_beats(self):
        while (said := await self.hear()) == "WATCHDOG=1":
            pass
        return said


def test_systemd_is_asked_to_watch_the_master_and_hears_of_it_until_another_version_takes_over():
    async def whole():
        dyno = FakeDyno(None)
        backend = await dyno.open()
        with tempfile.TemporaryDirectory() as directory:
            systemd = Systemd(directory)
            how = {"env": {**os.environ, "NOTIFY_SOCKET": systemd.path}}
            router = started_with(directory, backend, *LOOK, **how)
            try:
                for _ in range(2):
                    assert await systemd.but_beats() == "READY=1\nWATCHDOG_USEC=60000000"
                    assert [await systemd.hear() for _ in range(3)] == ["WATCHDOG=1"] * 3
                    router.process.send_signal(signal.SIGUSR2)
                    said = await systemd.but_beats()
                    assert said == "RELOADING=1\nWATCHDOG_USEC=0", "who comes may know no watchdog"
            finally:
                router.close()
                systemd.sock.close()
                await dyno.close()

    run(whole, SLOW)


def test_nobody_looks_for_a_worker_that_ended():
    """As long as it would have taken to find it silent."""

    async def whole():
        dyno = FakeDyno(None)
        backend = await dyno.open()
        with tempfile.TemporaryDirectory() as directory:
            systemd = Systemd(directory)
            how = {"env": {**os.environ, "NOTIFY_SOCKET": systemd.path}}
            router = started_with(directory, backend, "--look", "0.2", **how)
            try:
                assert await systemd.but_beats() == "READY=1\nWATCHDOG_USEC=60000000"
                master = router.process.pid
                workers = Path(f"/proc/{master}/task/{master}/children").read_text().split()
                os.kill(int(workers[0]), signal.SIGKILL)
                beats = [await systemd.hear() for _ in range(STARTING + 2)]
                assert beats == ["WATCHDOG=1"] * len(beats)
                assert router.process.poll() is None
            finally:
                router.close()
                systemd.sock.close()
                await dyno.close()

    run(whole, SLOW)


def test_the_looks_are_often_enough_for_what_systemd_waits():
    from router.master import WATCHED
    from router.pulse import ROUND

    assert WATCHED >= 3 * ROUND
    unit = (Path(__file__).parents[2] / "systemd/dyno-router.service").read_text()
    assert re.search("^WatchdogSignal=SIGKILL$", unit, re.MULTILINE)
    assert "WatchdogSec=" not in re.sub("^#.*$", "", unit, flags=re.MULTILINE)
