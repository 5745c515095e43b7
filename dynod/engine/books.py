"""The ledger in use: one writer at a time, on the disk before anything else, then folded, then told.

`commit` takes a rule of core/changes.py; between the rule's look at the ledger and the append nobody else can write, so a rule
never decides on an old state. What an entry means for dynos, routes and the log is told by `on_entry`.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Self

from dynod.core.ledger import AppState, Ledger, fold
from dynod.engine.clock import now
from dynod.model.app import Account, AppId
from dynod.model.entry import Entry, Payload
from dynod.model.refused import Refused
from dynod.store.protocol import Store

SNAPSHOT_EVERY = 500  # entries
_log = logging.getLogger(__name__)

OnEntry = Callable[[Entry, AppState | None, AppState | None], None]


class Books:
    """`on_entry` hears of each entry, with the app's state before and after it, once it is on the disk."""

    def __init__(self, store: Store, ledger: Ledger, snapshot_at: int) -> None:
        self.ledger = ledger
        self.on_entry: OnEntry | None = None
        self._store = store
        self._snapshot_at = snapshot_at
        self._writing = asyncio.Lock()

    @classmethod
    async def open(cls, store: Store) -> Self:
        """Read the ledger: the newest snapshot, then what came after it."""
        saved = await store.snapshot()
        ledger = Ledger() if saved is None else saved[1]
        read_from = ledger.revision
        for entry in await store.read(read_from):
            ledger = fold(ledger, entry)
        return cls(store, ledger, read_from + SNAPSHOT_EVERY)

    async def commit(
        self, actor: Account, app: AppId, rule: Callable[[Ledger], Sequence[Payload]]
    ) -> tuple[Payload, ...]:
        """Append what `rule` makes of the newest ledger; return once it is on the disk and folded; raise Refused."""
        # Shielded, lock and all, from the client that hangs up: what reaches the disk must reach the fold before the next one.
        return await asyncio.shield(asyncio.ensure_future(self._commit(actor, app, rule)))

    async def _commit(
        self, actor: Account, app: AppId, rule: Callable[[Ledger], Sequence[Payload]]
    ) -> tuple[Payload, ...]:
        async with self._writing:
            payloads = tuple(rule(self.ledger))
            if payloads:
                wall = now().wall
                await self._append([Entry(0, app, actor.email, wall, payload) for payload in payloads])
            return payloads

    async def _append(self, entries: list[Entry]) -> None:
        before, told = self.ledger, list[tuple[Entry, Ledger, Ledger]]()
        after = before
        # Folded first: what cannot be must not be what the next start has to read.
        for number, entry in enumerate(entries, before.revision + 1):
            known = Entry(number, entry.app, entry.actor, entry.at, entry.payload)
            step, after = after, fold(after, known)
            told.append((known, step, after))
        await self._store.append(entries, before.revision)
        self.ledger = after  # whoever fails to hear of an entry must not keep us behind what is on the disk
        for known, step, then in told:
            if self.on_entry is not None:
                self.on_entry(known, step.apps.get(known.app), then.apps.get(known.app))
        if self.ledger.revision >= self._snapshot_at:
            # Growing distances: a snapshot costs as much as the ledger is long, so all of them together stay linear.
            self._snapshot_at = self.ledger.revision + max(SNAPSHOT_EVERY, self.ledger.revision // 4)
            try:
                await self._store.save_snapshot(self.ledger.revision, self.ledger)
            except Refused as refused:  # the disk is full; the entries are on it, which is what counts
                _log.warning("%s; the ledger is read entry by entry until the next snapshot", refused)
