"""Transcripts on a disk that is really full: who reads along hears to the end why a build failed."""

import asyncio
import contextlib
import os

import pytest
from linux.test_logplex_disk import small_disk

from dynod.engine import outputs
from dynod.engine.outputs import Outputs

pytestmark = pytest.mark.linux("mount")
LONG = b"x" * 65536


def fill(disk):
    with open(f"{disk}/ballast", "wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(bytes(4096))


async def told(made, ident):
    return b"".join([data async for data in made.follow(ident)])


def story(disk):
    """Begin a transcript, fill the disk, go on; return what came to a reader from the start, a late one, and one afterwards."""

    async def body():
        made = Outputs(f"{disk}/output")
        output = made.open("b1")
        early = asyncio.ensure_future(told(made, "b1"))
        output.line("before")
        await asyncio.sleep(0)
        fill(disk)
        output.write(LONG)
        await asyncio.sleep(0)
        late = asyncio.ensure_future(told(made, "b1"))
        await asyncio.sleep(0)
        output.line("cannot write it: the disk is full")
        return made, early, late

    return body()


def test_who_reads_along_misses_nothing(tmp_path):
    with small_disk(f"{tmp_path}/disk") as disk:

        async def body():
            made, early, late = await story(disk)
            made.close("b1")
            return await early, await late

        assert set(asyncio.run(body())) == {b"before\n" + LONG + b"cannot write it: the disk is full\n"}


def test_what_was_kept_is_written_where_there_is_room_at_the_end(tmp_path):
    with small_disk(f"{tmp_path}/disk") as disk:

        async def body():
            made, early, _ = await story(disk)
            os.unlink(f"{disk}/ballast")
            made.close("b1")
            return await early, await told(made, "b1")

        assert set(asyncio.run(body())) == {b"before\n" + LONG + b"cannot write it: the disk is full\n"}


def test_a_transcript_that_cannot_begin_is_told_all_the_same(tmp_path, monkeypatch):
    def no_room(path, *_):
        if path.endswith("b1"):
            raise OSError(28, "No space left on device", path)
        return opened(path, *_)

    opened = os.open
    monkeypatch.setattr(os, "open", no_room)  # a tmpfs gives names without end

    async def body():
        made = Outputs(str(tmp_path))
        output = made.open("b1")
        monkeypatch.undo()
        early = asyncio.ensure_future(told(made, "b1"))
        await asyncio.sleep(0)
        output.line("cannot write it")
        made.close("b1")
        return await early, await told(made, "b1")

    assert asyncio.run(body()) == (b"cannot write it\n", b"")


def test_a_flood_is_kept_as_far_as_there_is_memory_and_the_reason_still_comes(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "KEPT", 3 * len(LONG))
    with small_disk(f"{tmp_path}/disk") as disk:

        async def body():
            made = Outputs(f"{disk}/output")
            output = made.open("b1")
            fill(disk)
            for _ in range(50):
                output.write(LONG)
            output.line("cannot write it: the disk is full")
            early = asyncio.ensure_future(told(made, "b1"))
            await asyncio.sleep(0)
            made.close("b1")
            return await early

        said = asyncio.run(body())
        assert said.endswith(b"x" + b"cannot write it: the disk is full\n")
        assert len(said) < 5 * len(LONG)
