"""Version 2's alarms on plain directories: what is written where, and what rings. Version 1's need a kernel (tests/linux), but for what is asked of it."""

import asyncio
import os

from support.waiting import run

from dynod.host import alarms
from dynod.host.alarms import Alarms
from dynod.host.meter import Meter

QUOTA = 1000


def group(tmp_path, name="a"):
    path = tmp_path / name
    path.mkdir()
    (path / "memory.events").write_text("high 0\n")
    (path / "memory.high").write_text("max")
    return path


def with_alarms(tmp_path, story):
    async def told():
        rung = asyncio.Queue()
        made = Alarms(rung.put_nowait)
        try:
            await story(made, rung)
        finally:
            made.close()

    run(told())


def test_the_trap_stands_at_the_quota_and_moves_with_the_dyno(tmp_path):
    path = group(tmp_path)

    async def story(made, rung):
        assert await made.set("a", Meter(2, str(path)), QUOTA)
        assert (path / "memory.high").read_text() == "1000"
        for used, stands in ((1500, "2000"), (2100, "max"), (900, "1000")):
            made.rest("a", used)
            assert (path / "memory.high").read_text() == stands

    with_alarms(tmp_path, story)


def test_an_event_rings_and_so_does_the_end_of_the_pause(tmp_path, monkeypatch):
    monkeypatch.setattr(alarms, "PAUSE", 0.01)
    a, b = group(tmp_path), group(tmp_path, "b")

    async def story(made, rung):
        for each in (a, b):
            assert await made.set(each.name, Meter(2, str(each)), QUOTA)
        (a / "memory.events").write_text("high 1\n")
        assert [await rung.get(), await rung.get()] == ["a", "a"]
        (b / "memory.events").write_text("high 1\n")
        assert await rung.get() == "b"
        (a / "memory.events").write_text("high 2\n")
        while await rung.get() != "a":
            pass

    with_alarms(tmp_path, story)


def test_in_the_pause_nothing_rings(tmp_path, monkeypatch):
    monkeypatch.setattr(alarms, "PAUSE", 3600)
    a, b = group(tmp_path), group(tmp_path, "b")

    async def story(made, rung):
        for each in (a, b):
            await made.set(each.name, Meter(2, str(each)), QUOTA)
        (a / "memory.events").write_text("high 1\n")
        assert await rung.get() == "a"
        (a / "memory.events").write_text("high 2\n")
        (b / "memory.events").write_text("high 1\n")
        assert await rung.get() == "b"
        assert rung.empty()

    with_alarms(tmp_path, story)


def test_a_dyno_that_is_cleared_rings_no_more(tmp_path, monkeypatch):
    monkeypatch.setattr(alarms, "PAUSE", 0.01)
    a, b = group(tmp_path), group(tmp_path, "b")

    async def story(made, rung):
        for each in (a, b):
            await made.set(each.name, Meter(2, str(each)), QUOTA)
        (a / "memory.events").write_text("high 1\n")
        assert await rung.get() == "a"
        made.clear("a")  # in its pause
        made.clear("none")
        made.rest("a", 1)
        (a / "memory.events").write_text("high 2\n")
        (b / "memory.events").write_text("high 1\n")
        assert [await rung.get(), await rung.get()] == ["b", "b"]

    with_alarms(tmp_path, story)


def test_what_may_not_be_written_or_is_not_there_is_said(tmp_path):
    path = group(tmp_path)
    (path / "memory.high").unlink()
    (path / "memory.high").mkdir()

    async def story(made, rung):
        assert not await made.set("a", Meter(2, str(path)), QUOTA)
        assert not await made.set("b", Meter(2, str(tmp_path / "none")), QUOTA)
        assert not await made.set("c", Meter(1, str(tmp_path / "none")), QUOTA)

    with_alarms(tmp_path, story)


def test_version_1_rings_for_what_is_above_the_quota_and_not_for_what_is_at_it(tmp_path):
    """The kernel rings where usage has reached a threshold, in whole pages; one who is at the quota gets no second look."""
    for name in ("memory.usage_in_bytes", "memory.oom_control"):
        (tmp_path / name).write_text("")
    os.mkfifo(tmp_path / "cgroup.event_control")
    asked = os.open(tmp_path / "cgroup.event_control", os.O_RDWR)
    quota = 8 * alarms.PAGE

    async def story(made, rung):
        assert await made.set("a", Meter(1, str(tmp_path)), quota)
        said = os.read(asked, 100)  # what else is asked may follow it
        assert said.split()[2].startswith(str(9 * alarms.PAGE).encode())

    with_alarms(tmp_path, story)
    os.close(asked)
