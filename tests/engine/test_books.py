"""The ledger in use: rules see the newest state, entries are told after the disk, and a client that hangs up breaks nothing."""

import asyncio
from itertools import count

import pytest

from dynod.core import changes
from dynod.core.ledger import Corrupt
from dynod.engine.books import Books
from dynod.model.app import Account, AppId, app_name
from dynod.model.entry import MaintenanceSet
from dynod.model.refused import Refused
from dynod.store.memory import MemoryStore

ACTOR = Account("u1", "me@x")


def _create(name, app, numbers):
    return (
        ACTOR,
        AppId(app),
        lambda ledger: changes.create_app(
            ledger, app_name(name), ACTOR, "debian-12", (f"id{n}" for n in numbers)
        ),
    )


def test_a_rule_sees_what_was_written_before_it_and_entries_are_told_in_order():
    async def story():
        books = await Books.open(MemoryStore(lambda: 1.0))
        told = []
        books.on_entry = lambda entry, before, after: told.append(
            (entry.revision, before is None, after.app.name)
        )
        numbers = count()
        wishes = [books.commit(*_create(name, name, numbers)) for name in ("one", "two", "one")]
        outcomes = await asyncio.gather(*wishes, return_exceptions=True)
        assert isinstance(outcomes[2], Refused)
        return told, sorted(books.ledger.names)

    told, names = asyncio.run(story())
    assert names == ["one", "two"]
    assert told == [
        (1, True, "one"),
        (2, False, "one"),
        (3, False, "one"),
        (4, True, "two"),
        (5, False, "two"),
        (6, False, "two"),
    ]


def test_nothing_to_change_writes_nothing():
    async def story():
        books = await Books.open(MemoryStore(lambda: 1.0))
        assert await books.commit(ACTOR, AppId("a"), lambda ledger: ()) == ()
        with pytest.raises(KeyError):
            await books.commit(ACTOR, AppId("a"), lambda ledger: ledger.apps["nobody"])
        return books.ledger.revision

    assert asyncio.run(story()) == 0


def test_what_could_not_be_read_again_is_not_written():
    """The next start would end at it."""

    async def story():
        store = MemoryStore(lambda: 1.0)
        books = await Books.open(store)
        told = []
        books.on_entry = lambda entry, before, after: told.append(entry.revision)
        with pytest.raises(Corrupt, match="app nobody is not there"):
            await books.commit(ACTOR, AppId("nobody"), lambda ledger: (MaintenanceSet(on=True),))
        assert await store.read(0) == []
        await books.commit(*_create("one", "one", count()))
        assert told == [1, 2, 3]
        return (await Books.open(store)).ledger == books.ledger

    assert asyncio.run(story())


def test_a_fault_in_who_hears_of_an_entry_leaves_the_books_in_order():
    """Behind the disk they could write nothing more until a restart."""

    async def story():
        store = MemoryStore(lambda: 1.0)
        books = await Books.open(store)

        def on_entry(entry, before, after):
            raise ZeroDivisionError

        books.on_entry = on_entry
        with pytest.raises(ZeroDivisionError):
            await books.commit(*_create("one", "one", count()))
        books.on_entry = None
        await books.commit(*_create("two", "two", count()))
        return (await Books.open(store)).ledger == books.ledger, sorted(books.ledger.names)

    assert asyncio.run(story()) == (True, ["one", "two"])


def test_a_client_that_hangs_up_in_the_middle_leaves_the_books_in_order():
    class Slow(MemoryStore):
        async def append(self, entries, expected_revision):
            await asyncio.sleep(0)
            return await super().append(entries, expected_revision)

    async def story():
        books = await Books.open(Slow(lambda: 1.0))
        numbers = count()
        first = asyncio.ensure_future(books.commit(*_create("one", "one", numbers)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        first.cancel()
        await books.commit(*_create("two", "two", numbers))
        return sorted(books.ledger.names), books.ledger.revision

    assert asyncio.run(story()) == (["one", "two"], 6)


def test_a_new_daemon_reads_what_the_old_one_wrote_from_snapshot_and_entries():
    async def story():
        store = MemoryStore(lambda: 1.0)
        books = await Books.open(store)
        numbers = count()
        for number in range(200):
            await books.commit(*_create(f"app-{number}", f"a{number}", numbers))
        assert (await store.snapshot())[0] == 501
        return books.ledger == (await Books.open(store)).ledger

    assert asyncio.run(story())
