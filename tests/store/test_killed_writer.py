"""Acknowledged means on the disk: a writer dies by SIGKILL, and nothing that it acknowledged is lost."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from dynod.store.sqlite import open_store

APPENDER = os.path.join(os.path.dirname(__file__), "appender.py")


def write_until(state: str, acknowledged: int) -> int:
    """Let a child write until it has acknowledged so much, kill it, and return the last revision it acknowledged."""
    with subprocess.Popen([sys.executable, APPENDER, state], stdout=subprocess.PIPE) as child:
        try:
            said = b""
            while said.count(b"\n") < acknowledged:
                more = os.read(child.stdout.fileno(), 65536)
                assert more, "the writer ended by itself"
                said += more
            child.kill()
            said += child.stdout.read()
        finally:
            child.kill()
    assert child.returncode == -signal.SIGKILL
    return int(said.split(b"\n")[-2])


@pytest.mark.parametrize("moment", [1, 49, 50, 57, 333, 480, 765, 1000])
def test_nothing_acknowledged_is_lost(tmp_path, moment) -> None:
    acknowledged = write_until(str(tmp_path), moment)
    assert moment <= acknowledged <= 1000

    async def look() -> None:
        store = await open_store(str(tmp_path), lambda: 0.0)
        found = await store.read(0)
        assert len(found) >= acknowledged
        assert [(entry.revision, entry.at) for entry in found] == [
            (number, float(number)) for number in range(1, len(found) + 1)
        ]
        saved = await store.snapshot()
        assert saved is None or saved[1].revision == saved[0] <= len(found)
        assert await store.append(found[:1], len(found)) == len(found) + 1
        await store.close()

    asyncio.run(look())
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
