"""What is under way while its app is destroyed ends with a refusal, nothing of the app is left, and nothing of it is written any more.

A house with its ledger, its loops and its records; in the machine's place is one that nothing starts on.
"""

import asyncio
import contextlib
import threading
from types import SimpleNamespace

import pytest
from support.waiting import run

from dynod.core import changes
from dynod.engine import builds
from dynod.engine.accounts import Accounts
from dynod.engine.books import Books
from dynod.engine.house import House
from dynod.engine.platform import BuildAsk, RunAsk, SlugAsk
from dynod.engine.requests import Requests
from dynod.host.jail_link import Ended
from dynod.host.slugs import Stored
from dynod.model.entry import BuildStarted
from dynod.model.formation import process_type
from dynod.model.refused import Refusal, Refused
from dynod.model.release import BuildId, BuildStatus, ReleaseId, Slug, SlugId
from dynod.model.settings import Settings
from dynod.store.memory import MemoryStore
from dynod.store.observations import Observations

LS = RunAsk("ls", attach=True, env={}, force_no_tty=True)
STEPS = 25  # of the loop, after as many as which the app is destroyed


class Machine:
    """Until `over` is set, whoever takes a network waits; then there is none. `asked` tells of it."""

    stack = "debian-12"

    def __init__(self, ended):
        self.over, self.asked, self._ended = asyncio.Event(), asyncio.Event(), ended
        self.turns = asyncio.Semaphore(16)

    async def take(self, dyno):
        self.asked.set()
        await self.over.wait()
        raise Refused(Refusal.UNAVAILABLE, f"cannot wire {dyno}")

    async def signal(self, dyno, number):
        self._ended(Ended(dyno, 128 + number, False, 0))

    async def leavings(self, dyno):
        return None

    async def give_back(self, dyno, *, booted=True):
        pass


class Log:
    """`forgotten`: the apps whose log was let go, which is one of the last things that are done about them."""

    def __init__(self):
        self.forgotten = asyncio.Queue()

    def write(self, *line):
        pass

    async def recent(self, query):
        return []

    async def forget(self, app):
        self.forgotten.put_nowait(app)


@contextlib.asynccontextmanager
async def house(tmp_path, slugs=None, store=None):
    """The house, and what people ask of it."""
    settings = Settings(state=str(tmp_path), run=str(tmp_path))
    observations = await Observations.open(settings.state)
    books = await Books.open(store or MemoryStore(lambda: 1.0))
    made = House(settings, Accounts(f"{tmp_path}/secrets", "me@x"), books, observations, slugs, Log())
    made.machine = Machine(made.on_exit)
    try:
        yield made, Requests(made)
    finally:
        made.eco.close()
        await made.tasks.close()
        await observations.close()


async def nothing_left(made, app):
    assert await made.log.forgotten.get() == app.id
    assert made.loops() == ()
    assert not [task for task in made.tasks._running if task.get_coro().__qualname__ == "AppLoop.run"]
    assert await made.observations.fleets() == {}
    assert not made.deeds.endings
    assert not made.sessions


def test_a_one_off_asked_for_as_its_app_is_destroyed_is_refused_and_leaves_nothing(tmp_path, caplog):
    async def story():
        async with house(tmp_path) as (made, asks):
            for steps in (*range(STEPS), None):
                made.machine.asked.clear()
                app = await asks.create_app(made.owner(), "demo", None)
                asked = asyncio.ensure_future(asks.run(made.owner(), app, LS))
                if steps is None:  # as far as it comes: it waits for its network
                    await made.machine.asked.wait()
                for _ in range(steps or 0):
                    await asyncio.sleep(0)
                await asks.destroy_app(made.owner(), app)
                made.machine.over.set()
                with pytest.raises(Refused, match="Couldn't find that app") as refused:
                    await asked
                assert refused.value.refusal is Refusal.NOT_FOUND
                await nothing_left(made, app)
                made.machine.over.clear()

    run(story())
    assert "failed" not in caplog.text


def test_a_release_phase_that_its_app_does_not_live_to_see_is_no_fault_of_ours(tmp_path, caplog):
    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            types = {process_type("release"): "./migrate"}
            slug = Slug(SlugId("s1"), "ab" * 32, 1, "", "", types, "debian-12", "", 1.0)
            await asks.create_release(made.owner(), app, slug, None)
            await asks.destroy_app(made.owner(), app)
            made.machine.over.set()
            await nothing_left(made, app)

    run(story())
    assert "failed" not in caplog.text


def test_of_two_who_destroy_an_app_one_is_told_that_it_is_no_more(tmp_path):
    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            both = [asks.destroy_app(made.owner(), app) for _ in range(2)]
            first, second = await asyncio.gather(*both, return_exceptions=True)
            assert first == app
            assert isinstance(second, Refused)
            assert second.refusal is Refusal.NOT_FOUND

    run(story())


def test_a_slug_whose_app_is_destroyed_while_it_is_unpacked_is_refused_and_not_written(tmp_path):
    """An entry of an app that is no more could not be read at the next start."""
    unpacking, destroyed = threading.Event(), threading.Event()

    def unpack(_):
        unpacking.set()
        assert destroyed.wait(20)

    slugs = SimpleNamespace(store=lambda _: Stored("ab" * 32, 1), unpack=unpack)

    async def story():
        async with house(tmp_path, slugs) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            wanted = SlugAsk("/none", {}, "", "", "debian-12", "")
            adding = asyncio.ensure_future(asks.add_slug(made.owner(), app, wanted))
            await asyncio.to_thread(unpacking.wait, 20)
            await asks.destroy_app(made.owner(), app)
            destroyed.set()
            with pytest.raises(Refused, match="Couldn't find that app"):
                await adding
            assert made.incoming == set()
            await asks.create_app(made.owner(), "demo", None)

    run(story())


def test_a_build_is_settled_once_and_not_without_its_app(tmp_path):
    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            build, revisions = BuildId("b1"), []

            async def fail():
                await builds.fail(made, made.owner(), app.id, build)
                revisions.append(made.ledger.revision)

            await fail()
            await made.books.commit(made.owner(), app.id, lambda _: (BuildStarted(build, "", "s", ()),))
            await fail()
            assert asks.build(app, build).status is BuildStatus.FAILED
            await fail()
            await asks.destroy_app(made.owner(), app)
            await fail()
            assert revisions == [3, 5, 5, 6]

    run(story())


def test_who_changed_nothing_is_not_given_the_release_that_another_made_meanwhile(tmp_path):
    """Its release phase would be run twice."""

    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)

            def same(state):
                return changes.set_config(state, {"A": "1"}, ReleaseId("r3"))

            first, second = await asyncio.gather(*(made.releasing(made.owner(), app, same) for _ in range(2)))
            assert (first.version, second) == (3, None)

    run(story())


def test_who_asks_for_a_one_off_that_a_fault_of_ours_keeps_from_starting_does_not_wait_for_it(tmp_path):
    async def broken(app, record):
        raise ZeroDivisionError

    async def story():
        async with house(tmp_path) as (made, asks):
            app = await asks.create_app(made.owner(), "demo", None)
            made.observations.put_fleet = broken
            with pytest.raises(RuntimeError, match="cannot start run"):
                await asks.run(made.owner(), app, LS)
            assert not made.deeds.endings
            assert not made.sessions

    run(story())


def test_a_fault_of_ours_leaves_no_dyno_and_no_build_on_its_way(tmp_path, caplog):
    """Nobody could start another build until a restart, and who waits at the one-off would wait for ever."""

    async def broken(dyno):
        raise ZeroDivisionError

    async def story():
        async with house(tmp_path) as (made, asks):
            made.machine.take = broken
            app = await asks.create_app(made.owner(), "demo", None)
            with pytest.raises(Refused, match="cannot start run"):
                await asks.run(made.owner(), app, LS)
            (tmp_path / "builds").mkdir()
            source = tmp_path / "source"
            source.write_bytes(b"")
            build = await asks.start_build(made.owner(), app, BuildAsk(str(source), "", ""))
            said = b"".join([data async for data in asks.build_output(app, build)])
            assert said.endswith(b" !     dynod itself has failed, its log says how\n !     Push failed\n")
            building = [task for task in made.tasks._running if task.get_coro().__qualname__ == "run"]
            await asyncio.gather(*building, return_exceptions=True)
            assert asks.build(app, build.id).status is BuildStatus.FAILED
            await asks.destroy_app(made.owner(), app)
            await nothing_left(made, app)

    run(story())
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ZeroDivisionError] * 2
