"""Transcripts: every reader gets everything from the start, live, and the end."""

import asyncio

from dynod.engine import outputs
from dynod.engine.outputs import Outputs


async def _all(made, ident):
    return b"".join([data async for data in made.follow(ident)])


def test_readers_before_during_and_after_read_the_same(tmp_path):
    async def story():
        made = Outputs(str(tmp_path))
        output = made.open("b1")
        early = asyncio.ensure_future(_all(made, "b1"))
        await asyncio.sleep(0)
        output.line("one")
        late = asyncio.ensure_future(_all(made, "b1"))
        await asyncio.sleep(0)
        output.line("two")
        made.close("b1")
        output.write(b"after the end")
        return await early, await late, await _all(made, "b1")

    assert set(asyncio.run(story())) == {b"one\ntwo\n"}


def test_what_was_never_written_is_empty(tmp_path):
    assert asyncio.run(_all(Outputs(str(tmp_path)), "nothing")) == b""


def test_an_older_daemons_transcript_is_still_there(tmp_path):
    made = Outputs(str(tmp_path))

    async def write():
        made.open("b1").line("kept")
        made.close("b1")
        made.close("b1")

    asyncio.run(write())
    assert asyncio.run(_all(Outputs(str(tmp_path)), "b1")) == b"kept\n"
    made.remove("b1")
    made.remove("b1")
    assert asyncio.run(_all(made, "b1")) == b""


def test_a_flood_is_cut_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(outputs, "LIMIT", 10)

    async def story():
        made = Outputs(str(tmp_path))
        output = made.open("b1")
        for _ in range(5):
            output.write(b"123456")
        made.close("b1")
        return await _all(made, "b1")

    assert asyncio.run(story()) == b"123456\n !     Output is longer than 300 MB; the rest is not kept.\n"
