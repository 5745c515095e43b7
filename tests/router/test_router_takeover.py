"""A new version of the router takes over under load: nobody is refused, cut off or made to shake hands anew."""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile

import pytest
from x509_samples import Signer

import router.takeover
from dynod.model.certs import CertTable, Served
from dynod.model.settings import certs_file, routes_file
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec
from router.takeover import Legacy, inherited, read, write
from tests.router.routing import GET, SLOW, Connection, FakeDyno, run, table, trusting_all, turns
from tests.router.test_router_metrics import SWITCHED, UPGRADE
from tests.router.test_router_processes import Router, ended, worker_of

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CERTS = CertTable(1, (Served(*Signer().server("app.localhost")),), {"app.localhost": 0})


class Checkout:
    """The programs in a directory of their own, where a second version takes the place of the first."""

    def __init__(self, directory: str) -> None:
        self.path = f"{directory}/checkout"
        self._copy(self.path)
        self._say(self.path, "one")

    def _copy(self, to: str) -> None:
        for name in ("dynod", "router"):
            shutil.copytree(
                f"{ROOT}/{name}", f"{to}/{name}", ignore=shutil.ignore_patterns("__pycache__", "*.log")
            )

    def _say(self, path: str, version: str) -> None:
        """Let answers of the router's own name their version."""
        with open(f"{path}/router/pages.py", encoding="utf-8") as file:
            text = file.read()
        changed = text.replace("Server: Heroku", f"Server: Heroku {version}")
        assert changed != text
        with open(f"{path}/router/pages.py", "w", encoding="utf-8") as file:
            file.write(changed)

    def upgrade(self, *, broken: bool = False) -> None:
        """Put a second version in the first one's place, by rename, as `make install` does."""
        self._copy(f"{self.path}.new")
        self._say(f"{self.path}.new", "two")
        if broken:
            with open(f"{self.path}.new/router/tickets.py", "w", encoding="utf-8") as file:
                file.write("no python\n")
        os.rename(self.path, f"{self.path}.old")
        os.rename(f"{self.path}.new", self.path)


@contextlib.asynccontextmanager
async def started(answer=None, *, workers: int = 2):
    dyno = FakeDyno(answer)
    backend = await dyno.open()
    with tempfile.TemporaryDirectory() as directory:
        process = Router(directory)
        checkout = Checkout(directory)
        with open(routes_file(process.state), "wb") as file:
            file.write(table_codec.encode(table(backend)))
        with open(certs_file(process.state), "wb") as file:
            file.write(certs_codec.encode(CERTS))
        where = ("--listen", "127.0.0.1:0", "--tls", "127.0.0.1:0")
        there = {"cwd": directory, "env": {**os.environ, "PYTHONPATH": checkout.path}}
        process.start(*where, "--workers", str(workers), **there)
        try:
            yield process, checkout
        finally:
            process.close()
            await dyno.close()


async def took_over(process: Router, before: list[int]) -> list[int]:
    """Ask for it, wait until the new workers are announced."""
    process.process.send_signal(signal.SIGUSR2)
    while True:
        _, pids = await process.announced()
        if not set(pids) & set(before):
            return pids


async def connect(port: int) -> Connection:
    return Connection(*await asyncio.open_connection("127.0.0.1", port))


class Load:
    """Clients without end, each on kept-alive connections it opens anew when it is told to; `failed` says what went wrong."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = False
        self.done = 0
        self.failed: list[str] = []
        self._tasks: list[asyncio.Task] = []

    def start(self, count: int) -> None:
        self._tasks = [asyncio.ensure_future(self._one()) for _ in range(count)]

    async def _one(self) -> None:
        while not self._stop:
            try:
                async with await connect(self._port) as connection:
                    keep = True
                    while keep and not self._stop:
                        response = await connection.ask()
                        assert (response.status, response.body) == (200, b"hello")
                        self.done += 1
                        keep = response.get("Connection") != "close"
            except Exception as error:  # noqa: BLE001  # that is what is looked for
                self.failed.append(repr(error))

    async def more(self, count: int) -> None:
        """Wait until so many more are answered."""
        until = self.done + count
        await turns(lambda: self.done >= until or self.failed)

    async def end(self) -> None:
        self._stop = True
        await asyncio.gather(*self._tasks)


def test_a_new_version_takes_over_under_load_and_nothing_fails():
    async def test():
        began = asyncio.Event()

        async def answer(head, reader, writer):
            if head.startswith(b"POST"):
                began.set()
                body = await reader.readexactly(100_000)
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n%06d" % len(body))
            elif b"pgrade: websocket" in head:
                writer.write(SWITCHED)
                while data := await reader.read(100):
                    writer.write(data.upper())
                return False
            else:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            return True

        async with started(answer) as (process, checkout):
            port, first = await process.announced()
            async with (
                await connect(port) as upload,
                await connect(port) as socket,
                await connect(port) as idle,
            ):
                upload.writer.write(
                    b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 100000\r\n\r\n"
                )
                upload.writer.write(b"x" * 40_000)
                await began.wait()
                assert (await socket.ask(UPGRADE)).status == 101
                assert (await idle.ask()).status == 200
                owner = worker_of(port, socket, first)
                load = Load(port)
                load.start(16)
                await load.more(300)
                checkout.upgrade()
                pids = await took_over(process, first)
                await load.more(300)
                # Who had a connection has it still, on the old workers.
                upload.writer.write(b"y" * 60_000)
                answered = await upload.response()
                assert (answered.status, answered.body) == (200, b"100000")
                answered = await idle.ask()
                assert (answered.status, answered.get("Connection")) == (200, "close")
                socket.writer.write(b"still there")
                assert await socket.reader.readexactly(11) == b"STILL THERE"
                assert worker_of(port, socket, first) == owner
                await load.end()
                assert load.failed == []
                async with await connect(port) as new:
                    stranger = await new.ask(GET.replace(b"app.", b"no."))
                    assert stranger.get("Server") == "Heroku two"
                    assert worker_of(port, new, pids) in pids
            assert process.process.poll() is None  # the same process as before
            gone = [os.pidfd_open(pid) for pid in first if os.path.exists(f"/proc/{pid}")]
            for pidfd in gone:
                await ended(pidfd)  # once the last of their connections has ended
                os.close(pidfd)
            process.process.send_signal(signal.SIGTERM)
            await ended(process.pidfd)
            assert process.process.wait() == 0

    run(test, SLOW)


def test_a_tls_session_goes_on_at_the_new_version():
    async def test():
        async with started() as (process, checkout):
            _, first = await process.announced()
            with open(f"{process.run}/router.json", encoding="utf-8") as file:
                tls_port = int(file.read().partition('"tls": "127.0.0.1:')[2].partition('"')[0])
            context = trusting_all()

            def once(session):
                import socket

                with (
                    socket.create_connection(("127.0.0.1", tls_port)) as raw,
                    context.wrap_socket(raw, server_hostname="app.localhost", session=session) as secure,
                ):
                    secure.sendall(GET)
                    assert secure.recv(65_536).startswith(b"HTTP/1.1 200")
                    return secure.session, secure.session_reused

            session, reused = await asyncio.to_thread(once, None)
            assert not reused
            checkout.upgrade()
            await took_over(process, first)
            for _ in range(4):
                _, reused = await asyncio.to_thread(once, session)
                assert reused

    run(test, SLOW)


def test_a_version_that_does_not_start_leaves_the_old_one_serving():
    async def test():
        async with started() as (process, checkout):
            port, first = await process.announced()
            load = Load(port)
            load.start(4)
            checkout.upgrade(broken=True)
            process.process.send_signal(signal.SIGUSR2)
            said = await asyncio.to_thread(process.process.stderr.readline)
            assert said.startswith(b"router: cannot hand over: SyntaxError")
            await load.more(100)
            await load.end()
            assert load.failed == []
            async with await connect(port) as connection:
                assert (await connection.ask(GET.replace(b"app.", b"no."))).get("Server") == "Heroku one"
                assert worker_of(port, connection, first) in first

    run(test, SLOW)


def test_an_old_worker_that_was_told_to_leave_still_ends_on_sigterm_in_time():
    async def test():
        async def answer(head, reader, writer):
            writer.write(SWITCHED)
            await reader.read()
            return False

        async with started(answer, workers=1) as (process, _):
            port, first = await process.announced()
            async with await connect(port) as socket:
                assert (await socket.ask(UPGRADE)).status == 101
                await took_over(process, first)
                # And once more, while it is still there.
                assert await took_over(process, await pids_of(process)) != first
                assert os.path.exists(f"/proc/{first[0]}")
                leaving = os.pidfd_open(first[0])
                os.kill(first[0], signal.SIGKILL)
                await ended(leaving)
                os.close(leaving)
            process.process.send_signal(signal.SIGTERM)
            await ended(process.pidfd)
            assert process.process.wait() == 0

    async def pids_of(process):
        import json

        with open(f"{process.run}/router.json", encoding="utf-8") as file:
            return json.load(file)["pids"]

    run(test, SLOW)


def test_what_passes_may_be_of_another_version():
    assert read(b'{"listeners": [3], "fashion": "new"}') == Legacy((3,))
    every = Legacy((3, 4), (5,), (100, 200), "12:ab")
    assert read(write(every)) == every


def test_nothing_is_inherited_at_a_first_start_and_what_is_only_once(monkeypatch):
    assert inherited({}) is None
    passed = os.memfd_create("takeover", 0)
    os.write(passed, write(Legacy(workers=(7,))))
    environ = {router.takeover.VARIABLE: str(passed)}
    assert inherited(environ) == Legacy(workers=(7,))
    assert inherited(environ) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(passed)


@pytest.mark.parametrize(("words", "good"), [((), True), (("--workers", "none"), False)])
def test_a_trial_says_whether_the_program_would_start(monkeypatch, words, good):
    argv = [sys.executable, "-m", "router", "--run", "/r", "--state", "/s", *words]
    monkeypatch.setattr(sys, "orig_argv", argv)
    said = router.takeover.refusal()
    assert (said == "") is good
    assert good or "invalid int value" in said
