"""What happened to dynos, and the engine's record of each app's live ones: STATE/observations.db.

Written without waiting for the disk (synchronous=OFF): it survives a killed daemon, not a power cut, after which no dyno
lives anyway. A file that a power cut spoiled is set aside and a new one begun: nothing here was ever decided.
"""

import contextlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Self

from dynod.model.observation import Observation
from dynod.store.database import Database, Schema
from dynod.store.protocol import Damaged

KEEP = 100_000  # observations in all

_SCHEMA = Schema(
    steps=(
        (
            """CREATE TABLE observation (
                number INTEGER PRIMARY KEY, dyno TEXT NOT NULL, name TEXT NOT NULL, app TEXT NOT NULL,
                what TEXT NOT NULL, at REAL NOT NULL, detail TEXT NOT NULL
            ) STRICT""",
            "CREATE INDEX observation_of_app ON observation (app, number)",
            "CREATE TABLE dyno (id TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT",
        ),
        ("CREATE TABLE tally (name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT",),
    )
)


class Observations:
    """Use `await Observations.open(state)`."""

    def __init__(self, database: Database, keep: int) -> None:
        self._database = database
        self._keep = keep

    @classmethod
    async def open(cls, state: str, keep: int = KEEP) -> Self:
        """Open or make the file; raise Unreadable if another dynod has it."""
        path = f"{state}/observations.db"
        try:
            return cls(await _sound(path), keep)
        except Damaged:
            _set_aside(path)
            return cls(await _sound(path), keep)

    async def note(self, observations: Sequence[Observation]) -> None:
        """Add to the history; the oldest beyond `keep` go."""
        rows = [astuple(each) for each in observations]
        await self._database.write(lambda db: self._note(db, rows))

    def _note(self, db: sqlite3.Connection, rows: Sequence[tuple[object, ...]]) -> None:
        db.executemany(
            "INSERT INTO observation (dyno, name, app, what, at, detail) VALUES (?, ?, ?, ?, ?, ?)", rows
        )
        db.execute(
            "DELETE FROM observation WHERE number <= (SELECT max(number) FROM observation) - ?", (self._keep,)
        )

    async def history(self, app: str, limit: int = 100, name: str = "") -> Sequence[Observation]:
        """The newest `limit` of an app, or of one dyno's name or id in it, oldest first."""
        rows = await self._database.read(
            lambda db: db.execute(
                "SELECT dyno, name, app, what, at, detail FROM observation "
                "WHERE app = ?1 AND (?2 = '' OR name = ?2 OR dyno = ?2) ORDER BY number DESC LIMIT ?3",
                (app, name, limit),
            ).fetchall()
        )
        return [Observation(*row) for row in reversed(rows)]

    # The table that they lie in is called `dyno`, and its key `id`: a step that was ever released never changes.
    async def put_fleet(self, app: str, record: bytes) -> None:
        """Keep what the engine must know again of an app's dynos, in place of what was kept before."""
        await self._database.write(
            lambda db: db.execute("REPLACE INTO dyno VALUES (?, ?)", (app, record)).rowcount
        )

    async def delete_fleet(self, app: str) -> None:
        await self._database.write(lambda db: db.execute("DELETE FROM dyno WHERE id = ?", (app,)).rowcount)

    async def fleets(self) -> Mapping[str, bytes]:
        """Every app's record."""
        return await self._database.read(
            lambda db: dict(db.execute("SELECT id, record FROM dyno").fetchall())
        )

    async def put_tally(self, name: str, record: bytes) -> None:
        """Keep a sum of what was observed, under its name."""
        await self._database.write(
            lambda db: db.execute("REPLACE INTO tally VALUES (?, ?)", (name, record)).rowcount
        )

    async def tally(self, name: str) -> bytes | None:
        """What was kept under this name."""
        row = await self._database.read(
            lambda db: db.execute("SELECT record FROM tally WHERE name = ?", (name,)).fetchone()
        )
        return None if row is None else bytes(row[0])

    async def close(self) -> None:
        await self._database.close()


async def _sound(path: str) -> Database:
    """Open the file and look it through; raise Damaged."""
    database = await Database.open(path, _SCHEMA, "OFF")
    try:
        verdict = await database.read(lambda db: db.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        verdict = str(error)
    if verdict != "ok":
        await database.close()
        raise Damaged(f"cannot read {path}: {verdict}")
    return database


def _set_aside(path: str) -> None:
    os.replace(path, f"{path}.damaged")
    for journal in (f"{path}-wal", f"{path}-shm"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(journal)
