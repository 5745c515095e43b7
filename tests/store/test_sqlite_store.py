"""The ledger in SQLite: the conformance suite, and what only a file has: another process, a key, a schema, a full disk."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import closing

import pytest
from ledger_samples import APP
from store_conformance import Conformance, Test, entries, expected, full_story, numbers

from dynod.model.entry import Entry, ReleaseCreated
from dynod.model.refused import Refusal, Refused
from dynod.model.release import ReleaseId, ReleaseStatus
from dynod.store import codec
from dynod.store.protocol import Conflict, Damaged, Store, Unreadable
from dynod.store.sqlite import open_store


class TestSqlite(Conformance):
    def opened(self, test: Test) -> None:
        async def run(state: str) -> None:
            clock = [0.0]
            store = await open_store(state, lambda: clock[0])
            try:
                await test(store, clock)
            finally:
                await store.close()

        with tempfile.TemporaryDirectory() as state:
            asyncio.run(run(state))


def using(state: object, deed: Callable[[Store], Awaitable[object]]) -> object:
    """Open the store under `state`, do one deed, close it again."""

    async def run() -> object:
        store = await open_store(str(state), lambda: 0.0)
        try:
            return await deed(store)
        finally:
            await store.close()

    return asyncio.run(run())


async def nothing(store: Store) -> None:
    return None


def refused(state: object) -> str:
    with pytest.raises(Unreadable) as caught:
        using(state, nothing)
    return str(caught.value)


def sql(state: object, *statements: str) -> list[tuple[object, ...]]:
    """Say statements to the file as another program would."""
    with closing(sqlite3.connect(f"{state}/ledger.db", isolation_level=None)) as db:
        found = []
        for statement in statements:
            found = db.execute(statement).fetchall()
        return found


def test_it_is_all_there_after_a_restart(tmp_path) -> None:
    told, ledger = full_story()

    async def write(store: Store) -> None:
        await store.append(told, 0)
        await store.save_snapshot(len(told), ledger)
        assert await store.lease("build", 10.0, "a") == 1

    async def look(store: Store) -> None:
        assert list(await store.read(0)) == told
        assert await store.snapshot() == (len(told), ledger)
        assert await store.lease("build", 10.0, "a") == 1
        assert await store.append(entries(1), len(told)) == len(told) + 1

    using(tmp_path, write)
    using(tmp_path, look)


def test_the_disk_is_waited_for(tmp_path) -> None:
    """WAL and synchronous=FULL: one without the other would acknowledge what a power cut can take."""

    async def look(store) -> None:
        pragmas = [
            await store._database.read(lambda db, name=name: db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("journal_mode", "synchronous")
        ]
        assert pragmas == ["wal", 2]

    using(tmp_path, look)


def test_appends_that_wait_together_share_a_commit(tmp_path) -> None:
    async def look(store) -> None:
        database, said = store._database, []
        await database.read(lambda db: db.set_trace_callback(said.append))
        hold = asyncio.ensure_future(database.read(lambda db: proceed.wait(30)))
        waiting = [asyncio.ensure_future(store.append(entries(1), number)) for number in range(20)]
        await asyncio.sleep(0)
        proceed.set()
        await hold
        assert await asyncio.gather(*waiting) == list(range(1, 21))
        assert said.count("COMMIT") == 1

    import threading

    proceed = threading.Event()
    using(tmp_path, look)


# -- the file defends itself -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "text"),
    [
        ("UPDATE ledger SET actor = 'x' WHERE revision = 1", "the ledger is append-only"),
        ("DELETE FROM ledger WHERE revision = 2", "the ledger is append-only"),
        ("DELETE FROM ledger", "the ledger is append-only"),
        ("INSERT INTO ledger VALUES (4, 'a', 'e', 1.0, 'K', 0, x'00')", "the ledger has no gaps"),
        ("INSERT OR REPLACE INTO ledger VALUES (2, 'a', 'e', 1.0, 'K', 0, x'00')", "the ledger has no gaps"),
        ("INSERT INTO ledger VALUES (NULL, 'a', 'e', 1.0, 'K', 0, x'00')", "the ledger has no gaps"),
    ],
)
def test_append_only_holds_for_everybody(tmp_path, statement, text) -> None:
    using(tmp_path, lambda store: store.append(entries(2), 0))
    with pytest.raises(sqlite3.IntegrityError, match=text):
        sql(tmp_path, statement)
    assert numbers(using(tmp_path, lambda store: store.read(0))) == expected(1, 2)


def test_a_second_daemon_is_refused(tmp_path) -> None:
    async def second(store: Store) -> str:
        with pytest.raises(Unreadable) as caught:
            await open_store(str(tmp_path), lambda: 0.0)
        return str(caught.value)

    assert using(tmp_path, second) == (
        f"cannot open {tmp_path}/ledger.db: another dynod (pid {os.getpid()}) has it; "
        "stop that one, or choose another --state"
    )
    using(tmp_path, nothing)  # the first has let go


def test_people_may_look_into_a_live_ledger(tmp_path) -> None:
    """What is no secret can be read with eyes; the file is its owner's alone."""

    async def look(store: Store) -> None:
        await store.append(entries(1), 0)
        found = sql(tmp_path, "SELECT revision, app, kind, payload FROM ledger")
        assert found == [(1, "a1", "MaintenanceSet", b'[1,{"on":true}]')]
        assert os.stat(tmp_path / "ledger.db").st_mode & 0o777 == 0o600
        assert os.stat(tmp_path / "ledger.db-wal").st_mode & 0o777 == 0o600

    using(tmp_path, look)


def test_a_newer_schema(tmp_path) -> None:
    using(tmp_path, nothing)
    sql(tmp_path, "PRAGMA user_version = 7")
    assert refused(tmp_path) == (
        f"cannot read {tmp_path}/ledger.db: a newer dynod wrote it (schema 7, this one knows 1); start that one again"
    )


def test_somebody_elses_database(tmp_path) -> None:
    sql(tmp_path, "CREATE TABLE mine (x)")
    assert refused(tmp_path) == (
        f"cannot read {tmp_path}/ledger.db: it is another program's database; choose another --state"
    )
    assert sql(tmp_path, "SELECT * FROM mine") == []


def test_no_database_at_all(tmp_path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database, and long enough to be looked at" * 100)
    with pytest.raises(
        Damaged, match=r"cannot read .*ledger.db: file is not a database; put back a good copy"
    ):
        using(tmp_path, nothing)


def test_a_state_directory_that_cannot_be(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        using(tmp_path / "file" / "state", nothing)


@pytest.mark.parametrize("at_once", [1, 40])
def test_a_full_disk_is_a_refusal_and_not_the_end(tmp_path, at_once) -> None:
    """Whoever was refused is not in the ledger, whoever was not is; with room again it goes on."""

    async def fill(store) -> None:
        pages = await store._database.read(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await store._database.read(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 4}").fetchone())
        revision, refusals = 0, []
        while not refusals:
            outcomes = await asyncio.gather(
                *(
                    store.append(entries(10, at + 1), at)
                    for at in range(revision, revision + 10 * at_once, 10)
                ),
                return_exceptions=True,
            )
            refusals = [each for each in outcomes if isinstance(each, Refused)]
            revision = max([revision, *(each for each in outcomes if isinstance(each, int))])
        assert refusals[0].refusal is Refusal.UNAVAILABLE
        assert refusals[0].message == (
            f"cannot write {tmp_path}/ledger.db: the disk is full; make room and try again"
        )
        assert numbers(await store.read(0)) == expected(1, revision)
        await store._database.read(lambda db: db.execute("PRAGMA max_page_count = 100000").fetchone())
        assert await store.append(entries(50, revision + 1), revision) == revision + 50

    using(tmp_path, fill)


@pytest.mark.linux
def test_a_disk_that_is_really_full(tmp_path) -> None:
    """As above on a tiny file system, where even the write-ahead log finds no room."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tiny", disk], check=True)
    try:
        using(disk, lambda store: until_refused(store, disk))
        assert sql(disk, "PRAGMA integrity_check") == [("ok",)]
    finally:
        subprocess.run(["umount", disk], check=True)


async def until_refused(store: Store, disk: object) -> None:
    revision, refusal = 0, None
    while refusal is None:
        try:
            revision = await store.append(entries(20, revision + 1), revision)
        except Refused as refused:
            refusal = refused.message
    assert refusal == f"cannot write {disk}/ledger.db: the disk is full; make room and try again"
    assert numbers(await store.read(0)) == expected(1, revision)
    subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
    assert await store.append(entries(20, revision + 1), revision) == revision + 20


def test_a_conflict_in_the_same_commit_takes_nobody_along(tmp_path) -> None:
    async def look(store: Store) -> None:
        good, bad, next_ = await asyncio.gather(
            store.append(entries(2), 0),
            store.append(entries(1), 0),
            store.append(entries(1, 3), 2),
            return_exceptions=True,
        )
        assert (good, next_) == (2, 3)
        assert isinstance(bad, Conflict)

    using(tmp_path, look)


# -- secrets -----------------------------------------------------------------------------------------------------


def test_config_is_nowhere_in_the_files(tmp_path) -> None:
    """Neither in the tables nor in the write-ahead log nor in a snapshot, while open and after."""
    told, ledger = full_story()
    config = {"NAME_OF_SECRET": "value-of-secret"}
    secret = ReleaseCreated(
        ReleaseId("r"), ledger.apps[APP].next_version, "x", ReleaseStatus.SUCCEEDED, None, config
    )

    def clear() -> None:
        for folder, _, names in os.walk(tmp_path):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    data = file.read()
                assert b"value-of-secret" not in data
                assert b"NAME_OF_SECRET" not in data

    async def write(store: Store) -> None:
        from dynod.core.ledger import fold

        revision = await store.append([*told, Entry(0, APP, "e@x", 1.0, secret)], 0)
        found = await store.read(revision - 1)
        await store.save_snapshot(revision, fold(ledger, found[0]))
        assert found[0].payload == secret
        await asyncio.to_thread(shutil.copytree, tmp_path, tmp_path / "copy")
        clear()

    using(tmp_path, write)
    clear()
    assert os.stat(tmp_path / "secrets" / "key").st_mode & 0o777 == 0o600
    assert os.stat(tmp_path / "secrets").st_mode & 0o777 == 0o700


def test_the_wrong_key(tmp_path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for state in (first, second):
        using(state, nothing)
    shutil.copy(second / "secrets" / "key", first / "secrets" / "key")
    assert refused(first) == (
        f"cannot read the ledger: {first}/secrets/key does not fit {first}/ledger.db; "
        "put back the key that it was made with"
    )


def test_a_missing_key_is_not_made_anew(tmp_path) -> None:
    using(tmp_path, nothing)
    os.unlink(tmp_path / "secrets" / "key")
    assert refused(tmp_path) == (
        f"cannot read the ledger: {tmp_path}/secrets/key is missing, and {tmp_path}/ledger.db was sealed with it; "
        "put it back"
    )
    assert not os.path.exists(tmp_path / "secrets" / "key")


def test_a_key_that_others_may_read(tmp_path) -> None:
    using(tmp_path, nothing)
    key = tmp_path / "secrets" / "key"
    key.chmod(0o640)
    assert refused(tmp_path) == f"cannot use {key}: others may read it; say chmod 600 {key}"


@pytest.mark.parametrize("content", ["", "abcd\n", "x" * 64])
def test_a_damaged_key(tmp_path, content) -> None:
    using(tmp_path, nothing)
    key = tmp_path / "secrets" / "key"
    key.write_text(content)
    assert (
        refused(tmp_path) == f"cannot use {key}: it does not hold 32 bytes in hex; put back the one you had"
    )


def test_a_start_that_died_between_key_and_ledger(tmp_path) -> None:
    """The key of the first try is used; what it left half-written is no key."""
    using(tmp_path / "other", nothing)
    os.makedirs(tmp_path / "state" / "secrets")
    (tmp_path / "state" / "secrets" / "key.new").write_text("half")
    using(tmp_path / "state", nothing)
    shutil.rmtree(tmp_path / "other")
    os.makedirs(tmp_path / "other" / "secrets")
    shutil.copy(tmp_path / "state" / "secrets" / "key", tmp_path / "other" / "secrets" / "key")
    key = (tmp_path / "other" / "secrets" / "key").read_text()
    using(tmp_path / "other", nothing)
    assert (tmp_path / "other" / "secrets" / "key").read_text() == key


def test_a_sealed_entry_fits_only_its_place(tmp_path) -> None:
    """Who can write the file but has no key cannot play an old config again."""

    def secret(version: int) -> Entry:
        payload = ReleaseCreated(
            ReleaseId("r"), version, "x", ReleaseStatus.SUCCEEDED, None, {"A": str(version)}
        )
        return Entry(0, APP, "e@x", 1.0, payload)

    using(tmp_path, lambda store: store.append([secret(1), secret(2)], 0))
    sql(
        tmp_path,
        "DROP TRIGGER ledger_keeps_what_was",
        "UPDATE ledger SET payload = (SELECT payload FROM ledger WHERE revision = 1) WHERE revision = 2",
    )
    with pytest.raises(Unreadable, match=r"what is sealed about ReleaseCreated 2 of a1 was changed"):
        using(tmp_path, lambda store: store.read(0))


def test_a_snapshot_of_another_shape_is_not_used(tmp_path, monkeypatch) -> None:
    told, ledger = full_story()
    using(tmp_path, lambda store: store.save_snapshot(len(told), ledger))
    with monkeypatch.context() as patch:
        patch.setattr(codec, "ledger_shape", lambda: "another")
        assert using(tmp_path, lambda store: store.snapshot()) is None
    assert using(tmp_path, lambda store: store.snapshot()) == (len(told), ledger)


def test_an_entry_of_a_newer_dynod(tmp_path) -> None:
    using(tmp_path, nothing)
    sql(tmp_path, "INSERT INTO ledger VALUES (1, 'a', 'e', 1.0, 'MadeLater', 0, CAST('[1,{}]' AS BLOB))")
    with pytest.raises(Unreadable, match="cannot read an entry of kind 'MadeLater'"):
        using(tmp_path, lambda store: store.read(0))
