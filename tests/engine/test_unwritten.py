"""What a full disk refused: written later, in order, the newest of each key alone; and nobody waits for it."""

import asyncio
import errno
import os

import pytest

from dynod.engine import unwritten
from dynod.engine.tasks import Tasks
from dynod.engine.unwritten import Unwritten
from dynod.model.refused import Refusal, Refused


class Disk:
    """Takes texts until it is full."""

    def __init__(self):
        self.full = True
        self.has = []
        self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.told = asyncio.Event()

    def job(self, text):
        async def write():
            if self.full:
                raise self.error
            self.has.append(text)
            if text.endswith("!"):
                self.told.set()

        return write


def play(story):
    async def run():
        tasks = Tasks()
        try:
            async with asyncio.timeout(30):
                return await story(Disk(), Unwritten(tasks))
        finally:
            await tasks.close()

    return asyncio.run(run())


@pytest.mark.parametrize(
    "error",
    [OSError(errno.ENOSPC, "full"), Refused(Refusal.UNAVAILABLE, "the disk is full"), OSError(errno.EROFS, "ro")],
)  # fmt: skip
def test_what_the_disk_refuses_is_written_once_there_is_room(error):
    async def story(disk, late):
        disk.error = error
        for text in ("a", "b", "c!"):
            await late.write(text, disk.job(text))
        assert (disk.has, late.waiting) == ([], ("a", "b", "c!"))
        disk.full = False
        await disk.told.wait()
        assert disk.has == ["a", "b", "c!"]
        await late.write("d", disk.job("d"))  # and at once again
        assert disk.has[-1] == "d"

    play(story)


def test_while_something_waits_nothing_overtakes_it_and_the_newest_of_a_key_replaces_the_older():
    async def story(disk, late):
        await late.write("fleet", disk.job("old"))
        await late.write("note", disk.job("note"))
        disk.full = False
        await late.write("fleet", disk.job("new!"))
        assert disk.has == []
        await disk.told.wait()
        assert disk.has == ["note", "new!"]

    play(story)


def test_what_is_not_the_disks_doing_is_a_bug_and_told_as_one(caplog):
    async def story(disk, late):
        disk.error = ValueError("no disk")
        with pytest.raises(ValueError, match="no disk"):
            await late.write("a", disk.job("a"))
        assert late.waiting == ()
        disk.error = OSError(errno.ENOSPC, "full")
        await late.write("a", disk.job("a"))
        disk.error = ValueError("later")
        await late.write("b", disk.job("b"))
        disk.full = False
        await late.write("c", disk.job("c!"))
        await disk.told.wait()

    play(story)


def test_a_bug_in_one_that_waits_holds_up_no_other(caplog):
    async def story(disk, late):
        async def broken():
            raise OSError(errno.ENOSPC, "full") if disk.full else ValueError("a bug")

        await late.write("a", broken)
        await late.write("b", disk.job("b!"))
        disk.full = False
        await disk.told.wait()

    play(story)
    assert "cannot write a" in caplog.text


def test_no_more_wait_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(unwritten, "MOST", 3)

    async def story(disk, late):
        for number in range(5):
            await late.write(number, disk.job("x"))
        return late.waiting

    assert play(story) == (2, 3, 4)
