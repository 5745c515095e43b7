"""A disk that is full, or takes no more writes, at the wrong moment: what was under way is settled once there is room, and nobody waits for ever."""

import asyncio
from types import SimpleNamespace

import pytest
from support.waiting import run

from dynod.engine import unwritten
from dynod.engine.platform import BuildAsk
from dynod.model.entry import BuildSettled, BuildStarted, ReleaseSettled
from dynod.model.formation import process_type
from dynod.model.refused import DISK_FULL, Refusal, Refused
from dynod.model.release import BuildId, BuildStatus, ReleaseStatus, Slug, SlugId
from dynod.store.memory import MemoryStore
from tests.engine.test_destroyed import house

CAP = 20.0


class Disk(MemoryStore):
    """A ledger that takes nothing while `full`; `refused` tells of the first time."""

    def __init__(self):
        super().__init__(lambda: 1.0)
        self.full, self.refused = False, asyncio.Event()

    async def append(self, entries, expected_revision):
        if self.full:
            self.refused.set()
            raise Refused(Refusal.UNAVAILABLE, DISK_FULL)
        return await super().append(entries, expected_revision)


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    monkeypatch.setattr(unwritten, "FIRST_PAUSE", 0.01)


def written(made, kind):
    """An event for the first entry of this kind."""
    event, told = asyncio.Event(), made.books.on_entry

    def on_entry(entry, before, after):
        told(entry, before, after)
        if isinstance(entry.payload, kind):
            event.set()

    made.books.on_entry = on_entry
    return event


def missing(_):
    raise Refused(Refusal.UNAVAILABLE, "cannot unpack")


def test_a_release_phase_that_ends_on_a_full_disk_is_settled_once_there_is_room(tmp_path):
    """Until then no other release is taken: one that nobody settles would keep the app as it is until a restart."""

    async def story():
        disk = Disk()
        gone = SimpleNamespace(tree=lambda _: "/none", unpack=missing)
        async with house(tmp_path, gone, disk) as (made, asks):
            settled = written(made, ReleaseSettled)
            app = await asks.create_app(made.owner(), "demo", None)
            types = {process_type("release"): "./migrate"}
            slug = Slug(SlugId("s1"), "ab" * 32, 1, "", "", types, "debian-12", "", 1.0)
            release = await asks.create_release(made.owner(), app, slug, None)
            disk.full = True
            await disk.refused.wait()
            assert asks.release(app, release.id).status is ReleaseStatus.PENDING
            disk.full = False
            await settled.wait()
            assert asks.release(app, release.id).status is ReleaseStatus.FAILED

    run(story(), CAP)


def test_a_start_on_a_full_disk_waits_for_no_build_that_was_interrupted(tmp_path):
    async def story():
        disk = Disk()
        async with house(tmp_path, store=disk) as (made, asks):
            settled, build = written(made, BuildSettled), BuildId("b1")
            app = await asks.create_app(made.owner(), "demo", None)
            await made.books.commit(made.owner(), app.id, lambda _: (BuildStarted(build, "", "s", ()),))
            disk.full = True
            await made._settle_interrupted()
            assert asks.build(app, build).status is BuildStatus.PENDING
            disk.full = False
            await settled.wait()
            assert asks.build(app, build).status is BuildStatus.FAILED

    run(story(), CAP)


def test_a_push_comes_to_its_end_though_what_was_pushed_cannot_be_removed(tmp_path):
    (tmp_path / "builds").write_text("in the way")
    (tmp_path / "source").mkdir()  # which unlink(2) does not take, as nothing on a disk that is read-only

    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            build = await asks.start_build(made.owner(), app, BuildAsk(f"{tmp_path}/source", "", ""))
            said = b"".join([data async for data in asks.build_output(app, build)])
            assert said.endswith(b" !     Push failed\n")

    run(story(), CAP)
