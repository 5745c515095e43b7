"""The doors of a build: what comes through is kept whole, and no more of it than was asked for."""

import asyncio
import contextlib
import os

import pytest

from dynod.engine import doors
from dynod.engine.tasks import Tasks
from dynod.model.refused import Refused

CAP = 20


def through(tmp_path, limits, build):
    """Let `build(directory)` write from a thread; give back the doors."""

    async def body():
        tasks = Tasks()
        async with asyncio.timeout(CAP):
            async with doors.doors(f"{tmp_path}/out", f"{tmp_path}/made", limits, tasks.spawn) as found:
                await asyncio.to_thread(build, f"{tmp_path}/out")
        return found

    doors.make(f"{tmp_path}/out", limits)
    return asyncio.run(body())


def write(path, *pieces):
    """As who is in the dyno: the pipe is there, and may be hung up."""
    fd = os.open(path, os.O_WRONLY)
    try:
        for piece in pieces:
            os.write(fd, piece)
    finally:
        os.close(fd)


def test_what_comes_through_is_kept_whole_whoever_opens_the_door_how_often(tmp_path):
    piece = os.urandom(60_000)

    def build(out):
        for _ in range(50):
            write(f"{out}/slug", piece)
        write(f"{out}/manifest", b"{}")

    found = through(tmp_path, {"slug": 3_000_000, "manifest": 2}, build)
    with open(found["slug"].found(), "rb") as file:
        assert file.read() == 50 * piece
    with open(found["manifest"].found(), "rb") as file:
        assert file.read() == b"{}"


def test_whoever_writes_too_much_is_hung_up_on_and_nothing_of_it_is_kept(tmp_path):
    written = 0

    def build(out):
        nonlocal written
        fd = os.open(f"{out}/slug", os.O_WRONLY)
        with contextlib.suppress(BrokenPipeError):
            while written < 100_000_000:
                written += os.write(fd, bytes(65536))
        os.close(fd)

    found = through(tmp_path, {"slug": 3_000_000}, build)
    assert found["slug"].is_over
    assert written < 3_000_000 + 4 * 65536
    assert os.listdir(f"{tmp_path}/made") == []
    with pytest.raises(Refused, match="cannot take slug of the build: it is larger than 3000000 bytes"):
        found["slug"].found()


def test_a_door_that_nobody_opened_has_nothing(tmp_path):
    found = through(tmp_path, {"slug": 10}, lambda _: None)
    with pytest.raises(Refused, match="cannot take slug of the build: it is missing"):
        found["slug"].found()


def test_a_build_that_fails_leaves_nobody_reading(tmp_path):
    async def body():
        tasks = Tasks()
        with pytest.raises(ValueError, match="no"):
            async with doors.doors(f"{tmp_path}/out", f"{tmp_path}/made", {"slug": 10}, tasks.spawn):
                raise ValueError("no")
        return len(asyncio.all_tasks())

    doors.make(f"{tmp_path}/out", {"slug": 10})
    before = len(os.listdir("/proc/self/fd"))
    assert asyncio.run(body()) == 1
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_file_that_cannot_be_written_is_said_and_hangs_up(tmp_path):
    def build(out):
        os.rmdir(f"{tmp_path}/made")
        with pytest.raises(BrokenPipeError):
            write(f"{out}/slug", *[bytes(65536)] * 100)

    found = through(tmp_path, {"slug": 100_000_000}, build)
    with pytest.raises(FileNotFoundError):
        found["slug"].found()
