"""The one thread behind a file: what a job that fails does to others."""

import asyncio

import pytest

from dynod.store.database import Database, Schema

SCHEMA = Schema(steps=(("CREATE TABLE row (n INTEGER)",),))


def using(tmp_path, deed) -> None:
    async def run() -> None:
        database = await Database.open(f"{tmp_path}/x.db", SCHEMA, "OFF")
        try:
            await deed(database)
        finally:
            await database.close()

    asyncio.run(run())


def insert(number: int):
    return lambda db: db.execute("INSERT INTO row VALUES (?)", (number,)).rowcount


def rows(db) -> list[int]:
    return [number for (number,) in db.execute("SELECT n FROM row ORDER BY n")]


def half_done(db) -> None:
    db.execute("INSERT INTO row VALUES (66)")
    raise ValueError("no")


def loses_the_transaction(db) -> None:
    """As SQLite does by itself where an I/O error leaves it no other way."""
    db.execute("ROLLBACK")
    raise OSError("gone")


def test_a_job_that_fails_undoes_itself_alone(tmp_path) -> None:
    async def deed(database: Database) -> None:
        outcomes = await asyncio.gather(
            database.write(insert(1)),
            database.write(half_done),
            database.write(insert(2)),
            return_exceptions=True,
        )
        assert (outcomes[0], outcomes[2]) == (1, 1)
        assert isinstance(outcomes[1], ValueError)
        assert await database.read(rows) == [1, 2]

    using(tmp_path, deed)


def test_a_lost_transaction_is_told_to_all_who_shared_it(tmp_path) -> None:
    """And to nobody else: the next write finds a sound database."""

    async def deed(database: Database) -> None:
        outcomes = await asyncio.gather(
            database.read(lambda db: started.append(1)),
            database.write(insert(1)),
            database.write(loses_the_transaction),
            database.write(insert(2)),
            return_exceptions=True,
        )
        lost = [type(each) for each in outcomes[1:]]
        stored = await database.read(rows)
        assert lost[1] is OSError
        assert stored == [number for number, each in ((1, lost[0]), (2, lost[2])) if each is int]
        assert await database.write(insert(3)) == 1
        assert await database.read(rows) == [*stored, 3]

    started: list[int] = []
    using(tmp_path, deed)


def test_a_schema_grows_step_by_step(tmp_path) -> None:
    using(tmp_path, lambda database: database.write(insert(1)))
    grown = Schema(
        steps=(*SCHEMA.steps, ("ALTER TABLE row ADD COLUMN m TEXT DEFAULT 'new'", "CREATE TABLE other (x)"))
    )

    async def run() -> None:
        for _ in range(2):
            database = await Database.open(f"{tmp_path}/x.db", grown, "OFF")
            found = await database.read(lambda db: db.execute("SELECT n, m FROM row").fetchall())
            await database.close()
            assert found == [(1, "new")]

    asyncio.run(run())


def test_a_step_that_fails_leaves_the_old_schema(tmp_path) -> None:
    """Half a migration is none."""
    using(tmp_path, lambda database: database.write(insert(1)))
    bad = Schema(steps=(*SCHEMA.steps, ("CREATE TABLE other (x)", "CREATE TABLE row (n)")))

    async def run() -> None:
        with pytest.raises(Exception, match="table row already exists"):
            await Database.open(f"{tmp_path}/x.db", bad, "OFF")

    asyncio.run(run())

    async def deed(database: Database) -> None:
        tables = "SELECT count(*) FROM sqlite_master"
        assert await database.read(lambda db: db.execute(tables).fetchone()[0]) == 1
        assert await database.read(rows) == [1]

    using(tmp_path, deed)


def test_writes_after_closing_fail(tmp_path) -> None:
    async def deed(database: Database) -> None:
        await database.close()
        with pytest.raises(RuntimeError):
            await database.write(insert(1))

    using(tmp_path, deed)
