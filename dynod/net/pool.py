"""The namespaces of one instance: a few ready ones, those that dynos have, and what is being made or removed.

`Pool.take` answers from memory and one small file; the kernel's work is done beside the loop, by one thread in one order of
importance: somebody waits > somebody gave back > the stock is low. Each slot is two files in RUN/netns: `<slot>` (the pinned
namespace) and `<slot>.json` (`{"id": dyno or "", "ipv6": bool}`, written once the wiring is whole, removed first). From these and from the kernel's list of
interfaces a new helper knows, after kill -9, what was taken, what was ready and what was half made.
A namespace is never used twice: what a dyno left in it (sockets, counters) ends with it.
"""

import asyncio
import json
import logging
import os
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from dynod.model.refused import Refusal, Refused
from dynod.net.addresses import SLOTS, Block, Slot

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Place:
    """A slot with its files."""

    slot: Slot
    path: str
    ipv6: bool = False  # whether it was wired with its IPv6 addresses

    @property
    def record(self) -> str:
        return f"{self.path}.json"

    def view(self, dyno: str) -> dict[str, Any]:
        """What `take` and `list` answer."""
        return {
            "id": dyno,
            "netns": self.path,
            "address": str(self.slot.address),
            "gateway": str(self.slot.gateway),
            "interface": self.slot.interface,
            "address6": str(self.slot.address6) if self.ipv6 else "",
        }


class Wiring(Protocol):
    """The kernel, one job at a time: wiring.py's thread, or a test's fake."""

    async def wire(self, place: Place) -> None:
        """Make a namespace whole, or leave nothing and raise OSError."""
        ...

    async def unwire(self, places: Iterable[Place]) -> None:
        """Remove namespaces and their records; raise OSError."""
        ...


def write_record(place: Place, dyno: str) -> None:
    """Write whose namespace it is, whole or not at all."""
    with open(f"{place.record}.new", "w") as file:
        json.dump({"id": dyno, "ipv6": place.ipv6}, file)
    os.rename(f"{place.record}.new", place.record)


def _given_back(dyno: str) -> Refused:
    return Refused(Refusal.CONFLICT, f"cannot give {dyno} its network: it was given back meanwhile")


@dataclass(frozen=True, slots=True)
class Found:
    """What an earlier helper left."""

    ready: tuple[Place, ...] = ()
    taken: tuple[tuple[str, Place], ...] = ()


class Pool:
    def __init__(
        self, block: Block, directory: str, warm: int, wiring: Wiring, found: Found, *, ipv6: bool = False
    ) -> None:
        self._block = block
        self._ipv6 = ipv6
        self._directory = directory
        self._warm = warm
        self._wiring = wiring
        self._ready = deque(found.ready)
        self._taken = dict(found.taken)
        used = {place.slot.number for place in (*self._ready, *self._taken.values())}
        # Go on behind it: a slot rests as long as it can before it is used again.
        last = max(used, default=-1)
        order = [(last + 1 + number) % SLOTS for number in range(SLOTS)]
        self._free = deque(number for number in order if number not in used)
        self._waiting: deque[asyncio.Future[Place]] = deque()
        self._asking: dict[str, set[asyncio.Future[Place]]] = {}  # who waits, by dyno
        self._given: list[tuple[Place, asyncio.Future[None]]] = []
        self._stuck = ""  # why the kernel refused; the next request tries again
        self._wake = asyncio.Event()

    # -- what is asked -------------------------------------------------------------------------------------------
    async def take(self, dyno: str) -> Place:
        """Hand out a namespace; the same one again to a dyno that has one. Raise Refused(UNAVAILABLE)."""
        if (had := self._taken.get(dyno)) is not None:
            return had
        place = self._ready.popleft() if self._ready else await self._wait(dyno)
        if (had := self._taken.get(dyno)) is not None:  # asked twice at once
            self._ready.append(place)
            return had
        try:
            write_record(place, dyno)
        except OSError as error:
            self._ready.append(place)
            raise Refused(Refusal.UNAVAILABLE, f"cannot give a dyno its network: {error}") from error
        self._taken[dyno] = place
        self._poke()
        return place

    async def give(self, dyno: str) -> None:
        """Destroy a dyno's namespace; returns when it is gone. A dyno that has none is no fault: asked twice.

        One that still waits for its own gets none: who asked had lost patience, and nobody would give it back.
        """
        for waiter in self._asking.pop(dyno, ()):
            if not waiter.done():
                waiter.set_exception(_given_back(dyno))
        place = self._taken.pop(dyno, None)
        if place is None:
            return
        gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._given.append((place, gone))
        self._poke()
        await asyncio.shield(gone)

    def views(self) -> list[dict[str, Any]]:
        return [place.view(dyno) for dyno, place in self._taken.items()]

    def counts(self) -> dict[str, int]:
        return {
            "ready": len(self._ready),
            "taken": len(self._taken),
            "free": len(self._free),
            "warm": self._warm,
        }

    # -- what is done beside it ----------------------------------------------------------------------------------
    async def work(self) -> None:
        """Do what is due, for ever; waits without a clock when nothing is, or when the kernel refused."""
        while True:
            job = self._next()
            if job is None:
                self._wake.clear()
                await self._wake.wait()
                self._stuck = ""
            else:
                await job()

    def _next(self) -> Callable[[], Awaitable[None]] | None:
        while self._waiting and self._waiting[0].done():
            self._waiting.popleft()
        can_wire = bool(self._free) and not self._stuck
        if self._waiting and can_wire:
            return self._make
        if self._given:
            return self._remove
        if self._waiting:
            self._waiting.popleft().set_exception(
                Refused(Refusal.UNAVAILABLE, "cannot give a dyno its network: " + self._why_not())
            )
            return self._next()
        return self._make if can_wire and len(self._ready) < self._warm else None

    def _why_not(self) -> str:
        return self._stuck or f"all {SLOTS} networks of this instance are in use; stop other dynos"

    async def _make(self) -> None:
        number = self._free.popleft()
        place = self.place(number)
        try:
            await self._wiring.wire(place)
        except OSError as error:
            _log.error("%s", error)  # the kernel's words are the whole story
            self._free.append(number)
            self._stuck = str(error)
            return
        write_record(place, "")
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(place)
                return
        self._ready.append(place)

    async def _remove(self) -> None:
        batch, self._given = self._given, []
        try:
            await self._wiring.unwire([place for place, _ in batch])
        except OSError as error:
            _log.error("%s", error)  # the slots stay out of use: something of them is still there
            for _, gone in batch:
                gone.set_exception(Refused(Refusal.UNAVAILABLE, f"cannot remove a network: {error}"))
                gone.exception()  # whoever asked may have hung up: then nobody else looks at it
            return
        for place, gone in batch:
            self._free.append(place.slot.number)
            gone.set_result(None)

    async def _wait(self, dyno: str) -> Place:
        waiter: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._asking.setdefault(dyno, set()).add(waiter)
        self._poke()
        try:
            place = await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._ready.append(waiter.result())  # it was made for somebody who hung up
            self._asks_no_more(dyno, waiter)
            raise
        except Refused:
            self._asks_no_more(dyno, waiter)
            raise
        if not self._asks_no_more(dyno, waiter):  # given back in the moment between
            self._ready.append(place)
            raise _given_back(dyno)
        return place

    def _asks_no_more(self, dyno: str, waiter: asyncio.Future[Place]) -> bool:
        """Strike a waiter out; say whether it was still wanted."""
        asking = self._asking.get(dyno, set())
        wanted = waiter in asking
        asking.discard(waiter)
        if not asking:
            self._asking.pop(dyno, None)
        return wanted

    def place(self, number: int) -> Place:
        return Place(self._block.slot(number), f"{self._directory}/{number}", self._ipv6)

    def _poke(self) -> None:
        self._wake.set()
