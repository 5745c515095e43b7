"""Disks that are really full, under what the engine writes: nothing is cut short, nobody waits, and it is written once there is room."""

import asyncio
import contextlib
import os
import subprocess

import pytest
from waiting import run, until

from dynod.core.fleet import Fleet
from dynod.engine import records
from dynod.engine.routerlink import RouterLink
from dynod.engine.tasks import Tasks
from dynod.engine.unwritten import Unwritten
from dynod.host.durable import write_atomically
from dynod.link import connect
from dynod.model.observation import Observation
from dynod.model.refused import Refused
from dynod.model.route import RouteTable
from dynod.model.settings import Settings, routes_file, routes_socket
from dynod.store.observations import Observations
from dynod.wire import table as table_codec

pytestmark = pytest.mark.linux("mount")


@pytest.fixture
def disk(tmp_path):
    path = f"{tmp_path}/disk"
    os.makedirs(path)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)  # a failed test may hold files


def fill(disk, left=0):
    """Leave `left` bytes of room; give what makes room again."""
    with open(f"{disk}/ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))
    if left:
        os.truncate(f"{disk}/ballast", os.path.getsize(f"{disk}/ballast") - left)
    return lambda: os.unlink(f"{disk}/ballast")


async def behind(late):
    """An event that is set once all that waits now is written."""
    written = asyncio.Event()

    async def last():
        written.set()

    await late.write("last", last)
    return written


def table(hosts):
    return RouteTable(
        generation=hosts, hosts={f"app-{number}.localhost": "a" * 36 for number in range(hosts)}
    )


def test_a_file_that_fits_only_in_part_leaves_the_old_one_whole(disk):
    write_atomically(f"{disk}/table", b"old")
    fill(disk, left=8192)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(f"{disk}/table", bytes(100_000))
    with open(f"{disk}/table", "rb") as file:
        assert file.read() == b"old"
    assert sorted(os.listdir(disk)) == ["ballast", "table"]


def test_routers_hear_of_a_table_that_the_disk_did_not_take_and_it_is_written_later(disk, tmp_path):
    async def story():
        tasks = Tasks()
        late = Unwritten(tasks)
        settings = Settings(state=disk, run=str(tmp_path))
        heard = []
        news = tmp_path / "news"
        news.mkdir()

        def hear(notification):
            heard.append(table_codec.decode(notification.params).generation)
            os.utime(news)

        link = RouterLink(settings, print, print, lambda file, job: tasks.spawn(late.write(file, job)))
        link.publish(table(1))
        await link.open()
        peer = await connect(routes_socket(settings.run), hear)
        await until(lambda: heard == [1], watch=[news])
        free = fill(disk, left=4096)
        link.publish(table(500))
        link.publish(table(600))
        await until(lambda: heard == [1, 500, 600], watch=[news])
        with open(routes_file(disk), "rb") as file:
            assert table_codec.decode(file.read()).generation == 1
        written = await behind(late)
        free()
        await written.wait()
        with open(routes_file(disk), "rb") as file:
            assert table_codec.decode(file.read()).generation == 600
        await peer.close()
        await link.close()
        await tasks.close()

    run(story())


def test_what_happened_to_dynos_is_written_once_there_is_room(disk):
    async def story():
        tasks = Tasks()
        late, observations = Unwritten(tasks), await Observations.open(disk)
        notes = [
            Observation("d1", "web.1", "a1", "crashed", float(number), "x" * 2000) for number in range(120)
        ]
        free = fill(disk)
        with pytest.raises(Refused, match=r"observations\.db: the disk is full; make room"):
            await observations.note(notes)
        for note in notes:
            await late.write(note, lambda note=note: observations.note([note]))
        await late.write("fleet", lambda: observations.put_fleet("a1", records.encode(Fleet(active=7.0))))
        assert len(late.waiting) > 100
        written = await behind(late)
        free()
        await written.wait()
        assert await observations.history("a1", 1000) == notes
        assert records.decode((await observations.fleets())["a1"]).active == 7.0
        await observations.close()
        await tasks.close()

    run(story())
