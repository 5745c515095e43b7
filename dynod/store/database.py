"""One SQLite file, one connection, one thread that owns it, and one process that may have it.

`read` and `write` take a job (a function of the connection) and run it in the thread. Writes that wait together share
one transaction, and so one fsync, each behind its own savepoint: a job that raises undoes itself alone. A write returns
after the commit. Rejected: a thread per call (sqlite3 connections are not for sharing, and a commit per append costs an
fsync each), SQLite's own exclusive locking mode (it would keep people from looking into a live file with `sqlite3`).
"""

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from dynod.model.refused import DISK_ERRS, DISK_FULL, Refusal, Refused
from dynod.store.protocol import Damaged, Unreadable
from dynod.store.secrets import sync_folder

T = TypeVar("T")
Job = Callable[[sqlite3.Connection], T]

APPLICATION = 0x64796E6F  # "dyno": SQLite keeps it in the file's header


@dataclass(frozen=True, slots=True)
class Schema:
    """`steps[n]` are the statements that lead from version n to n + 1: a step that was ever released never changes."""

    steps: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class Database:
    """Use `await Database.open(...)`. Belongs to the event loop that opened it."""

    def __init__(
        self,
        path: str,
        connection: sqlite3.Connection,
        thread: ThreadPoolExecutor,
        lock: int,
        committed: Callable[[], None],
    ) -> None:
        self.path = path
        self._connection = connection
        self._thread = thread
        self._lock = lock
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[Job[Any], asyncio.Future[Any]]] = deque()
        self._closing: asyncio.Future[None] | None = None

    @classmethod
    async def open(
        cls, path: str, schema: Schema, synchronous: str, committed: Callable[[], None] = lambda: None
    ) -> Self:
        """Open or make the file and bring its schema up to date; raise Unreadable.

        `committed` is called on the loop after each commit, also one that nobody waits for any more.
        """
        lock = _take(path)
        thread = ThreadPoolExecutor(1, thread_name_prefix=os.path.basename(path))
        try:
            loop = asyncio.get_running_loop()
            connection = await loop.run_in_executor(thread, _connect, path, schema, synchronous)
        except BaseException:
            thread.shutdown(wait=False)
            os.close(lock)
            raise
        return cls(path, connection, thread, lock, committed)

    async def read(self, job: Job[T]) -> T:
        """Run `job` after every write that was asked for before it."""
        return await self._loop.run_in_executor(self._thread, job, self._connection)

    async def write(self, job: Job[T]) -> T:
        """Run `job` in a transaction; what it returns (or raises) comes when the transaction is committed."""
        future: asyncio.Future[T] = self._loop.create_future()
        self._waiting.append((job, future))
        self._thread.submit(self._write_waiting)
        return await future

    async def close(self) -> None:
        """Do what was asked for before, then let the file go; again is harmless."""
        if self._closing is None:
            self._closing = self._loop.run_in_executor(self._thread, self._connection.close)
            await self._closing
            self._thread.shutdown()
            os.close(self._lock)
        await self._closing

    def _write_waiting(self) -> None:
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if batch:
            outcomes = self._commit([job for job, _ in batch])
            self._loop.call_soon_threadsafe(self._deliver, [future for _, future in batch], outcomes)

    def _deliver(self, futures: Sequence[asyncio.Future[Any]], outcomes: Sequence[Any]) -> None:
        self._committed()
        for future, outcome in zip(futures, outcomes, strict=True):
            if future.done():  # the asker was cancelled; what it asked for has happened all the same
                continue
            if isinstance(outcome, _Failed):
                future.set_exception(_told(self.path, outcome.error))
            else:
                future.set_result(outcome)

    def _commit(self, jobs: Sequence[Job[Any]]) -> list[Any]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._apart(job) for job in jobs]
            self._connection.execute("COMMIT")
        except Exception as error:  # noqa: BLE001  # it is the answer to all who wait
            with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back already
                self._connection.execute("ROLLBACK")
            return [_Failed(error)] * len(jobs)
        return outcomes

    def _apart(self, job: Job[Any]) -> Any:
        self._connection.execute("SAVEPOINT job")
        try:
            outcome = job(self._connection)
        except Exception as error:  # it is the answer to the one who asked
            if not self._connection.in_transaction:
                raise  # SQLite gave the whole transaction up (disk full, I/O error)
            self._connection.execute("ROLLBACK TO job")
            outcome = _Failed(error)
        self._connection.execute("RELEASE job")
        return outcome


_UNWRITABLE = {
    sqlite3.SQLITE_FULL: DISK_FULL,
    sqlite3.SQLITE_IOERR: DISK_ERRS,
    sqlite3.SQLITE_READONLY: DISK_ERRS,  # file systems make themselves so after an error
}


def _told(path: str, error: Exception) -> Exception:
    """What a person can mend is no bug: a full disk while dynod runs on, one that errs with another start."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says where
    if isinstance(error, sqlite3.Error) and code in _UNWRITABLE:
        return Refused(Refusal.UNAVAILABLE, f"cannot write {path}: {_UNWRITABLE[code]}")
    return error


def _take(path: str) -> int:
    """Lock the file for this process (the kernel lets go when it dies); return the lock's descriptor."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(fd, 32).decode(errors="replace").strip()
        os.close(fd)
        raise Unreadable(
            f"cannot open {path}: another dynod (pid {holder}) has it; stop that one, or choose another --state"
        ) from None
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _connect(path: str, schema: Schema, synchronous: str) -> sqlite3.Connection:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives -wal and -shm the same mode
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA trusted_schema = OFF")
        _migrate(path, connection, schema)
        sync_folder(os.path.dirname(path))
    except BaseException as error:
        connection.close()
        if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
            raise Damaged(f"cannot read {path}: {error}; put back a good copy") from error
        raise
    return connection


def _migrate(path: str, connection: sqlite3.Connection, schema: Schema) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != APPLICATION and tables:
        raise Unreadable(f"cannot read {path}: it is another program's database; choose another --state")
    if version > len(schema.steps):
        raise Unreadable(
            f"cannot read {path}: a newer dynod wrote it (schema {version}, this one knows {len(schema.steps)}); "
            "start that one again"
        )
    connection.execute("BEGIN IMMEDIATE")
    for statement in (each for step in schema.steps[version:] for each in step):
        connection.execute(statement)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(schema.steps)}")
    connection.execute("COMMIT")
