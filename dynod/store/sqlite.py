"""The ledger on one machine: STATE/ledger.db, with WAL and synchronous=FULL, so that acknowledged means on the disk.

Entries are rows that can be read with `sqlite3`; those of SECRET kinds and snapshots are sealed (store/secrets.py). The
file itself refuses gaps, changes and removals. Left out: what entries mean (core/ledger.py).
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence

from dynod.core.ledger import Ledger
from dynod.model.app import AppId
from dynod.model.entry import SECRET, Entry
from dynod.store import codec
from dynod.store.database import Database, Schema
from dynod.store.following import Bell
from dynod.store.protocol import Conflict, Held, Store, Unreadable
from dynod.store.secrets import Key, WrongKey, key_path, load_key, make_key

_Row = tuple[str, str, float, bool, str, bytes]

_PAGE = 500  # entries that a watch reads at a time

_SCHEMA = Schema(
    steps=(
        (
            """CREATE TABLE ledger (
                revision INTEGER PRIMARY KEY, app TEXT NOT NULL, actor TEXT NOT NULL, at REAL NOT NULL,
                kind TEXT NOT NULL, sealed INTEGER NOT NULL, payload BLOB NOT NULL
            ) STRICT""",
            """CREATE TRIGGER ledger_has_no_gap BEFORE INSERT ON ledger
                WHEN NEW.revision IS NOT (SELECT coalesce(max(revision), 0) + 1 FROM ledger)
                BEGIN SELECT RAISE(ABORT, 'the ledger has no gaps'); END""",
            """CREATE TRIGGER ledger_keeps_what_was BEFORE UPDATE ON ledger
                BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
            """CREATE TRIGGER ledger_keeps_all BEFORE DELETE ON ledger
                BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END""",
            """CREATE TABLE snapshot (
                only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL, shape TEXT NOT NULL,
                sealed BLOB NOT NULL
            ) STRICT""",
            """CREATE TABLE lease (
                name TEXT PRIMARY KEY, holder TEXT NOT NULL, until REAL NOT NULL, fence INTEGER NOT NULL
            ) STRICT""",
            "CREATE TABLE key_check (only INTEGER PRIMARY KEY CHECK (only = 1), sealed BLOB NOT NULL) STRICT",
        ),
    )
)


async def open_store(state: str, clock: Callable[[], float]) -> Store:
    """Open, or make, the ledger under the state directory; `clock` gives epoch seconds.

    Raise Unreadable for whatever keeps dynod from starting: another dynod has it, the key does not fit, a newer schema.
    """
    bell = Bell()
    database = await Database.open(f"{state}/ledger.db", _SCHEMA, "FULL", bell.ring)
    try:
        return SqliteStore(database, await _fitting_key(database, state), clock, bell)
    except BaseException:
        await database.close()
        raise


async def _fitting_key(database: Database, state: str) -> Key:
    sealed = await database.read(_key_check)
    key = await asyncio.to_thread(load_key, state)
    if sealed is None:
        if key is None:
            key = await asyncio.to_thread(make_key, state)
        check = key.seal(b"", "key check")
        await database.write(lambda db: db.execute("INSERT INTO key_check VALUES (1, ?)", (check,)).rowcount)
        return key
    what = f"cannot read the ledger: {key_path(state)}"
    if key is None:
        raise Unreadable(f"{what} is missing, and {database.path} was sealed with it; put it back")
    try:
        key.open(sealed, "key check")
    except WrongKey:
        raise Unreadable(
            f"{what} does not fit {database.path}; put back the key that it was made with"
        ) from None
    return key


def _key_check(db: sqlite3.Connection) -> bytes | None:
    row = db.execute("SELECT sealed FROM key_check").fetchone()
    return None if row is None else row[0]


class SqliteStore:
    """See store/protocol.py for what each method promises."""

    def __init__(self, database: Database, key: Key, clock: Callable[[], float], bell: Bell) -> None:
        self._database = database
        self._key = key
        self._clock = clock
        self._bell = bell

    async def append(self, entries: Sequence[Entry], expected_revision: int) -> int:
        rows = [
            (entry.app, entry.actor, entry.at, type(entry.payload) in SECRET, *codec.encode(entry.payload))
            for entry in entries
        ]
        return await self._database.write(lambda db: self._insert(db, rows, expected_revision))

    def _insert(self, db: sqlite3.Connection, rows: Sequence[_Row], expected: int) -> int:
        (actual,) = db.execute("SELECT coalesce(max(revision), 0) FROM ledger").fetchone()
        if actual != expected:
            raise Conflict(actual)
        for revision, (app, actor, at, secret, kind, plain) in enumerate(rows, expected + 1):
            payload = self._key.seal(plain, _about(app, kind, revision)) if secret else plain
            db.execute(
                "INSERT INTO ledger VALUES (?, ?, ?, ?, ?, ?, ?)",
                (revision, app, actor, at, kind, secret, payload),
            )
        return expected + len(rows)

    async def read(self, from_revision: int) -> Sequence[Entry]:
        return await self._database.read(lambda db: self._select(db, from_revision, -1))

    async def _page(self, from_revision: int) -> Sequence[Entry]:
        return await self._database.read(lambda db: self._select(db, from_revision, _PAGE))

    def watch(self, from_revision: int) -> AsyncIterator[Entry]:
        return self._bell.follow(from_revision, self._page)

    def _select(self, db: sqlite3.Connection, from_revision: int, limit: int) -> Sequence[Entry]:
        rows = db.execute(
            "SELECT revision, app, actor, at, kind, sealed, payload FROM ledger WHERE revision > ? "
            "ORDER BY revision LIMIT ?",
            (from_revision, limit),
        )
        return [self._entry(*row) for row in rows]

    def _entry(
        self, revision: int, app: str, actor: str, at: float, kind: str, sealed: int, payload: bytes
    ) -> Entry:
        plain = self._unsealed(payload, _about(app, kind, revision)) if sealed else payload
        return Entry(revision, AppId(app), actor, at, codec.decode(kind, plain))

    def _unsealed(self, sealed: bytes, about: str) -> bytes:
        try:
            return self._key.open(sealed, about)
        except WrongKey as error:
            raise Unreadable(
                f"cannot read {self._database.path}: what is sealed about {about} was changed; put back a good copy"
            ) from error

    async def snapshot(self) -> tuple[int, Ledger] | None:
        return await self._database.read(self._load_snapshot)

    def _load_snapshot(self, db: sqlite3.Connection) -> tuple[int, Ledger] | None:
        shape = codec.ledger_shape()
        row = db.execute("SELECT revision, sealed FROM snapshot WHERE shape = ?", (shape,)).fetchone()
        if row is None:
            return None
        revision, sealed = row
        return revision, codec.decode_ledger(self._unsealed(sealed, _about_snapshot(revision)))

    async def save_snapshot(self, revision: int, ledger: Ledger) -> None:
        await self._database.write(lambda db: self._keep_snapshot(db, revision, ledger))

    def _keep_snapshot(self, db: sqlite3.Connection, revision: int, ledger: Ledger) -> None:
        sealed = self._key.seal(codec.encode_ledger(ledger), _about_snapshot(revision))
        db.execute("REPLACE INTO snapshot VALUES (1, ?, ?, ?)", (revision, codec.ledger_shape(), sealed))

    async def lease(self, name: str, ttl: float, holder: str) -> int:
        return await self._database.write(lambda db: self._take_lease(db, name, ttl, holder))

    def _take_lease(self, db: sqlite3.Connection, name: str, ttl: float, holder: str) -> int:
        now = self._clock()
        row = db.execute("SELECT holder, until, fence FROM lease WHERE name = ?", (name,)).fetchone()
        live = row is not None and row[1] > now
        if live and row[0] != holder:
            raise Held(name, row[0], row[1])
        if live:
            fence = row[2]
        else:
            (fence,) = db.execute("SELECT coalesce(max(fence), 0) + 1 FROM lease").fetchone()
        db.execute("REPLACE INTO lease VALUES (?, ?, ?, ?)", (name, holder, now + ttl, fence))
        return int(fence)

    async def close(self) -> None:
        self._bell.close()
        await self._database.close()


def _about(app: str, kind: str, revision: int) -> str:
    """The revision too: a sealed entry cannot be played again at another place of the same ledger."""
    return f"{kind} {revision} of {app}"


def _about_snapshot(revision: int) -> str:
    return f"snapshot {revision}"
