"""What a Plex keeps on the disk, and what it does when that is full or has a hole."""

import errno
import os

import pytest
from waiting import run

from dynod.logplex import spool as spool_module
from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.logplex.spool import SEGMENT
from dynod.model.log import LogQuery
from tests.logplex.plex_house import APP, House, housed


@housed
async def test_spools_do_not_grow(house):
    write = house.dyno()
    for number in range(1, 41):
        os.write(write, b"x" * (SEGMENT // 8 - 1) + b"\n")
        await house.until_texts(number * 4)  # 32,767 bytes are four lines
    assert len(os.listdir(house.spools()[0])) <= 2
    os.close(write)


def test_strange_names_in_the_spool_are_left_alone(tmp_path):
    os.makedirs(f"{tmp_path}/logs/.spool/lost+found")
    plex = Plex(f"{tmp_path}/logs")
    assert plex.stat()["dynos"] == 0
    plex.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_full_disk_stops_no_app(tmp_path, monkeypatch, restart):
    """Output goes through memory while nothing can be spooled; afterwards, and after a restart, offsets are right again."""

    async def story():
        house = House(tmp_path)
        write = house.dyno()
        os.write(write, b"before\nhal")
        await house.until_texts(1)
        with monkeypatch.context() as patch:

            def splice(*_, **__):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(spool_module.os, "splice", splice)
            os.write(write, b"f\nwhile full\n")
            await house.until_texts(3)
        assert house.plex.stat()["unkept_bytes"] == 13
        if restart:
            house.restart()
            house.host_again()
        os.write(write, b"after\nrest")
        await house.until_texts(4)
        house.restart()
        house.host_again()
        os.write(write, b" of it\n")
        await house.until_texts(5)
        assert house.texts() == ["before", "half", "while full", "after", "rest of it"]
        os.close(write)
        house.close()

    run(story())


def test_a_broken_pipe_of_ours_is_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    async def story():
        house = House(tmp_path)
        house.dyno()
        intake = house.plex._intakes["dyno-1"]

        def splice(*_, **__):
            raise OSError(errno.EBADF, "Bad file descriptor")

        monkeypatch.setattr(spool_module.os, "splice", splice)
        with pytest.raises(OSError, match="Bad file"):
            intake._take()
        house.close()

    run(story())


def test_a_hole_in_a_spool_is_stepped_over(tmp_path):
    """The disk was full for a while and the process was killed before the ring could be written either."""
    spool = f"{tmp_path}/logs/.spool/dyno-1~{APP}~web.1"
    os.makedirs(spool)
    for base, data in ((0, b"one\nhal"), (20, b"two\n")):
        with open(f"{spool}/{base:020d}", "wb") as file:
            file.write(data)
    plex = Plex(f"{tmp_path}/logs")
    assert [record.text for _, record in plex.ask(Ask(LogQuery(APP)))] == ["one", "hal", "two"]
    plex.gone("dyno-1")
    plex.gone("dyno-1")
    assert not os.path.exists(spool)
    plex.close()
