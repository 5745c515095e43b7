"""The history of observations and the records of live dynos."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable

import pytest

from dynod.model.observation import Observation
from dynod.store.observations import Observations
from dynod.store.protocol import Unreadable


def using(state: object, deed: Callable[[Observations], Awaitable[object]], keep: int = 100) -> object:
    async def run() -> object:
        observations = await Observations.open(str(state), keep)
        try:
            return await deed(observations)
        finally:
            await observations.close()

    return asyncio.run(run())


def up(number: int, app: str = "a1") -> Observation:
    return Observation(f"d{number}", "web.1", app, "up", float(number), "é")


def test_the_history_of_an_app(tmp_path) -> None:
    async def note(observations: Observations) -> None:
        assert list(await observations.history("a1")) == []
        await observations.note([up(1), up(2, "a2"), up(3)])
        await observations.note([])
        await observations.note([up(4)])

    async def look(observations: Observations) -> None:
        assert list(await observations.history("a1")) == [up(1), up(3), up(4)]
        assert list(await observations.history("a1", 2)) == [up(3), up(4)]
        assert list(await observations.history("a2")) == [up(2, "a2")]

    using(tmp_path, note)
    using(tmp_path, look)


def test_the_history_of_one_dyno_by_name_or_id(tmp_path) -> None:
    async def look(observations: Observations) -> None:
        other = Observation("d9", "web.2", "a1", "up", 9.0)
        await observations.note([up(1), other, up(3), up(3, "a2")])
        assert list(await observations.history("a1", name="web.1")) == [up(1), up(3)]
        assert list(await observations.history("a1", 1, "web.1")) == [up(3)]
        assert list(await observations.history("a1", name="d9")) == [other]

    using(tmp_path, look)


def test_the_history_is_bounded(tmp_path) -> None:
    async def look(observations: Observations) -> None:
        for number in range(0, 50, 5):
            await observations.note([up(each) for each in range(number, number + 5)])
        assert list(await observations.history("a1", 1000)) == [up(number) for number in range(40, 50)]

    using(tmp_path, look, keep=10)


def test_records_of_dynos(tmp_path) -> None:
    async def write(observations: Observations) -> None:
        await observations.put_fleet("d1", b"one")
        await observations.put_fleet("d2", b"\0two")
        await observations.put_fleet("d1", b"one again")
        await observations.put_fleet("d3", b"")
        await observations.delete_fleet("d3")
        await observations.delete_fleet("d9")

    using(tmp_path, write)
    found = using(tmp_path, lambda observations: observations.fleets())
    assert found == {"d1": b"one again", "d2": b"\0two"}


CHILD = """
import asyncio, os, signal, sys
from dynod.model.observation import Observation
from dynod.store.observations import Observations

async def main():
    observations = await Observations.open(sys.argv[1])
    await observations.put_fleet("d1", b"alive")
    await observations.note([Observation("d1", "web.1", "a1", "up", 1.0)])
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_they_survive_a_killed_daemon(tmp_path) -> None:
    ended = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL

    async def look(observations: Observations) -> None:
        assert await observations.fleets() == {"d1": b"alive"}
        assert len(await observations.history("a1")) == 1

    using(tmp_path, look)


def test_the_disk_is_not_waited_for(tmp_path) -> None:
    async def look(observations) -> None:
        found = await observations._database.read(lambda db: db.execute("PRAGMA synchronous").fetchone()[0])
        assert found == 0

    using(tmp_path, look)


def spoiled_header(data: bytes) -> bytes:
    return b"power cut" * 1000


def spoiled_pages(data: bytes) -> bytes:
    return data[:4096] + b"\xaa" * (len(data) - 4096)


def cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


@pytest.mark.parametrize("spoil", [spoiled_header, spoiled_pages, cut_short])
def test_a_spoiled_file_is_set_aside(tmp_path, spoil) -> None:
    """What a power cut left is kept for who is curious; the daemon starts with a new file."""

    async def note(observations: Observations) -> None:
        await observations.note([up(number) for number in range(1000)])
        await observations.put_fleet("d1", b"x" * 5000)

    using(tmp_path, note, keep=10_000)
    path = tmp_path / "observations.db"
    path.write_bytes(spoil(path.read_bytes()))
    (tmp_path / "observations.db-wal").write_bytes(b"old")
    assert using(tmp_path, lambda observations: observations.fleets()) == {}
    assert (tmp_path / "observations.db.damaged").exists()
    using(tmp_path, lambda observations: observations.put_fleet("d1", b"x"))


def test_a_second_daemon_is_refused(tmp_path) -> None:
    async def second(observations: Observations) -> None:
        with pytest.raises(Unreadable, match=f"another dynod .pid {os.getpid()}. has it"):
            await Observations.open(str(tmp_path))

    using(tmp_path, second)
    assert not (tmp_path / "observations.db.damaged").exists()
