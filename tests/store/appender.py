"""A writer to be killed: appends 1,000 entries under the state directory given, and says each acknowledged revision.

Some appends wait alone, some together; one in ten is sealed; now and then a snapshot is saved.
"""

import asyncio
import os
import sys

from dynod.core.ledger import Ledger
from dynod.model.app import AppId
from dynod.model.entry import Entry, MaintenanceSet, ReleaseCreated
from dynod.model.release import ReleaseId, ReleaseStatus
from dynod.store.sqlite import open_store


def entry(revision: int) -> Entry:
    plain = MaintenanceSet(on=True)
    sealed = ReleaseCreated(ReleaseId("r"), 1, "x", ReleaseStatus.SUCCEEDED, None, {"A": "secret" * 50})
    return Entry(0, AppId("a1"), "e@x", float(revision), plain if revision % 10 else sealed)


async def main(state: str) -> None:
    store = await open_store(state, lambda: 0.0)

    async def append(revision: int) -> None:
        acknowledged = await store.append([entry(revision)], revision - 1)
        os.write(1, b"%d\n" % acknowledged)  # the same moment, unbuffered

    revision = 0
    while revision < 1000:
        together = 1 if revision % 100 < 50 else 10
        await asyncio.gather(*(append(revision + each) for each in range(1, together + 1)))
        revision += together
        if revision % 150 == 0:
            await store.save_snapshot(revision, Ledger(revision))
    await asyncio.Event().wait()  # only SIGKILL ends this


asyncio.run(main(sys.argv[1]))
