"""What every ledger engine is held to. An engine's test subclasses `Conformance` and says how a store is opened.

`clock` is a list with the time in it. Every test runs on a loop of its own with a store that is closed afterwards.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

import pytest
from ledger_samples import APP, NAME, OWNER, Story, ids, slug

from dynod.core import changes, domains
from dynod.core.ledger import Ledger, fold
from dynod.model.domain import Certificate, DomainId, EndpointId, Hostname
from dynod.model.entry import Entry, MaintenanceSet
from dynod.model.release import BuildId, ReleaseStatus
from dynod.store.protocol import Conflict, Held, Store

Test = Callable[[Store, list[float]], Awaitable[None]]


def entries(count: int, start: int = 1) -> list[Entry]:
    """Entries that tell themselves apart by their time."""
    return [
        Entry(0, APP, "e@x", float(number), MaintenanceSet(on=True)) for number in range(start, start + count)
    ]


def numbers(found: list[Entry]) -> list[tuple[int, float]]:
    return [(entry.revision, entry.at) for entry in found]


def expected(first: int, last: int) -> list[tuple[int, float]]:
    return [(number, float(number)) for number in range(first, last + 1)]


async def take(watch: AsyncIterator[Entry], count: int) -> list[Entry]:
    async with asyncio.timeout(30):
        return [await anext(watch) for _ in range(count)]


CERTIFICATE = Certificate("chain", "the secret key", ("*.example.com",), 1.0, 2.0, "/CN=i", "/CN=s")


def full_story() -> tuple[list[Entry], Ledger]:
    """Entries of nearly every kind, and what they fold to."""
    story = Story()
    payloads = [*changes.create_app(Ledger(), NAME, OWNER, "debian-12", ids("first"))]
    for step in (
        lambda: story.deploy(slug(web="serve", worker="work")),
        lambda: story.config({"A": "käse\nund brot", "B": "\ud7ff\U0001f600"}),
        lambda: story.deploy(slug("s2", web="serve", release="migrate")),
        lambda: story.settle(ReleaseStatus.SUCCEEDED),
        lambda: story.config({"A": None}),
        lambda: story.settle(ReleaseStatus.FAILED),
        lambda: story.rollback(3),
        lambda: story.tell(changes.set_feature(story.state, "preboot", enabled=True)),
        lambda: story.tell(
            domains.add_endpoint(story.state, CERTIFICATE, EndpointId("e1"), lambda: "quiet-river")
        ),
        lambda: story.tell(
            domains.add_domain(
                story.ledger, story.state, Hostname("www.example.com"), None, DomainId("d1"), "localhost"
            )
        ),
        lambda: story.tell(changes.start_build(story.state, BuildId("b1"), "c0ffee", "debian-12", ["x"])),
    ):
        payloads += step().said
    told = [Entry(number, APP, "e@x", float(number), payload) for number, payload in enumerate(payloads, 1)]
    return told, story.ledger


class Conformance:
    def opened(self, test: Test) -> None:
        """Run `test` with a store of this engine and its clock."""
        raise NotImplementedError

    def test_a_new_ledger_is_empty(self) -> None:
        async def test(store, clock):
            assert list(await store.read(0)) == []
            assert await store.snapshot() is None

        self.opened(test)

    def test_append_numbers_from_one(self) -> None:
        async def test(store, clock):
            assert await store.append(entries(3), 0) == 3
            assert await store.append(entries(1, 4), 3) == 4
            assert numbers(await store.read(0)) == expected(1, 4)
            assert numbers(await store.read(2)) == expected(3, 4)
            assert list(await store.read(4)) == []
            assert list(await store.read(9)) == []

        self.opened(test)

    def test_append_of_nothing_is_a_look(self) -> None:
        async def test(store, clock):
            assert await store.append([], 0) == 0
            with pytest.raises(Conflict):
                await store.append([], 1)

        self.opened(test)

    def test_a_revision_in_the_entry_is_not_looked_at(self) -> None:
        async def test(store, clock):
            await store.append([Entry(77, APP, "e@x", 1.0, MaintenanceSet(on=True))], 0)
            assert numbers(await store.read(0)) == expected(1, 1)

        self.opened(test)

    @pytest.mark.parametrize("wrong", [0, 1, 3, 99])
    def test_a_conflict_changes_nothing(self, wrong) -> None:
        async def test(store, clock):
            await store.append(entries(2), 0)
            with pytest.raises(Conflict) as caught:
                await store.append(entries(2, 50), wrong)
            assert caught.value.actual == 2
            assert numbers(await store.read(0)) == expected(1, 2)
            assert await store.append(entries(1, 3), 2) == 3

        self.opened(test)

    def test_what_comes_back_is_what_went_in(self) -> None:
        async def test(store, clock):
            told, ledger = full_story()
            await store.append(told, 0)
            again = Ledger()
            for entry in await store.read(0):
                again = fold(again, entry)
            assert list(await store.read(0)) == told
            assert again == ledger

        self.opened(test)

    def test_appenders_at_once(self) -> None:
        """Each tries until it is its turn: nothing is lost, doubled or torn apart."""

        async def appender(store: Store, who: int) -> None:
            revision = 0
            for number in range(10):
                pair = [
                    Entry(0, APP, f"{who}.{number}.{half}", 1.0, MaintenanceSet(on=True)) for half in "ab"
                ]
                while True:
                    try:
                        revision = await store.append(pair, revision)
                        break
                    except Conflict as conflict:
                        revision = conflict.actual

        async def test(store, clock):
            async with asyncio.TaskGroup() as group:
                for who in range(8):
                    group.create_task(appender(store, who))
            found = await store.read(0)
            assert [entry.revision for entry in found] == list(range(1, 161))
            assert [first.actor[:-1] for first in found[::2]] == [second.actor[:-1] for second in found[1::2]]
            for who in range(8):
                mine = [entry.actor for entry in found[::2] if entry.actor.startswith(f"{who}.")]
                assert mine == [f"{who}.{number}.a" for number in range(10)]

        self.opened(test)

    def test_appends_in_a_row_need_not_wait(self) -> None:
        """Who knows the order asks without waiting; one conflict among them disturbs no other."""

        async def test(store, clock):
            outcomes = await asyncio.gather(
                *(store.append(entries(1, number), number - 1) for number in range(1, 101)),
                store.append(entries(1, 500), 7),
                store.append(entries(1, 101), 100),
                return_exceptions=True,
            )
            assert outcomes[:100] == list(range(1, 101))
            assert isinstance(outcomes[100], Conflict)
            assert outcomes[101] == 101
            assert numbers(await store.read(0)) == expected(1, 101)

        self.opened(test)

    def test_a_cancelled_append_disturbs_no_other(self) -> None:
        async def test(store, clock):
            first = asyncio.ensure_future(store.append(entries(1), 0))
            second = asyncio.ensure_future(store.append(entries(1, 2), 1))
            await asyncio.sleep(0)
            first.cancel()
            async with asyncio.timeout(30):
                outcome, _ = await asyncio.gather(second, first, return_exceptions=True)
            assert outcome == 2
            assert numbers(await store.read(0)) == expected(1, 2)

        self.opened(test)

    def test_watch_goes_from_the_past_to_the_present(self) -> None:
        async def test(store, clock):
            await store.append(entries(1200), 0)
            async with aclosing(store.watch(100)) as watch:
                assert numbers(await take(watch, 1100)) == expected(101, 1200)
                waiting = asyncio.ensure_future(take(watch, 2))
                await store.append(entries(1, 1201), 1200)
                await store.append(entries(2, 1202), 1201)
                assert numbers(await waiting) == expected(1201, 1202)
                assert numbers(await take(watch, 1)) == expected(1203, 1203)

        self.opened(test)

    def test_watchers_of_a_busy_ledger(self) -> None:
        """However their reading and the writing fall together: no gap and no double, also for one that starts late."""

        async def writer(store: Store, chance: random.Random) -> None:
            revision = 0
            while revision < 400:
                count = min(chance.randint(1, 7), 400 - revision)
                revision = await store.append(entries(count, revision + 1), revision)
                for _ in range(chance.randint(0, 3)):
                    await asyncio.sleep(0)

        async def watcher(store: Store, from_revision: int, chance: random.Random) -> None:
            found = []
            async with aclosing(store.watch(from_revision)) as watch, asyncio.timeout(30):
                while len(found) < 400 - from_revision:
                    found.append(await anext(watch))
                    for _ in range(chance.randint(0, 2)):
                        await asyncio.sleep(0)
            assert numbers(found) == expected(from_revision + 1, 400)

        async def test(store, clock):
            async with asyncio.TaskGroup() as group:
                for seed in range(5):
                    group.create_task(watcher(store, seed * 10, random.Random(seed)))
                group.create_task(writer(store, random.Random(99)))

        self.opened(test)

    def test_watch_ends_when_the_store_closes(self) -> None:
        async def test(store, clock):
            await store.append(entries(1), 0)
            watch = store.watch(0)
            assert numbers(await take(watch, 1)) == expected(1, 1)
            ending = asyncio.ensure_future(anext(watch, None))
            await asyncio.sleep(0)
            await store.close()
            async with asyncio.timeout(30):
                assert await ending is None

        self.opened(test)

    def test_a_snapshot_and_its_tail_are_the_whole(self) -> None:
        async def test(store, clock):
            told, ledger = full_story()
            await store.append(told, 0)
            for revision in range(len(told) + 1):
                kept = Ledger()
                for entry in told[:revision]:
                    kept = fold(kept, entry)
                await store.save_snapshot(revision, kept)
                found, again = await store.snapshot()
                assert (found, again) == (revision, kept)
                for entry in await store.read(found):
                    again = fold(again, entry)
                assert again == ledger

        self.opened(test)

    def test_a_lease_is_one_holders(self) -> None:
        async def test(store, clock):
            clock[0] = 100.0
            first = await store.lease("build", 10.0, "a")
            with pytest.raises(Held) as caught:
                await store.lease("build", 10.0, "b")
            assert (caught.value.holder, caught.value.until) == ("a", 110.0)
            other = await store.lease("other", 10.0, "b")
            assert other != first

        self.opened(test)

    def test_renewing_keeps_the_fence_and_taking_raises_it(self) -> None:
        async def test(store, clock):
            clock[0] = 100.0
            first = await store.lease("build", 10.0, "a")
            clock[0] = 109.0
            assert await store.lease("build", 10.0, "a") == first
            clock[0] = 118.9
            with pytest.raises(Held):
                await store.lease("build", 10.0, "b")
            clock[0] = 119.0
            second = await store.lease("build", 10.0, "b")
            assert second > first
            with pytest.raises(Held):
                await store.lease("build", 10.0, "a")
            clock[0] = 200.0
            third = await store.lease("build", 10.0, "b")
            assert third > second
            assert await store.lease("another", 1.0, "a") > third

        self.opened(test)

    def test_closing_twice_is_harmless(self) -> None:
        async def test(store, clock):
            await store.close()
            await store.close()

        self.opened(test)
