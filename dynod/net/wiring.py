"""The thread in which the kernel is talked to, and what it finds at the start.

One thread, because entering a namespace is a thread's affair, and because order makes races impossible. The event loop waits for its
answers and never for the kernel.
"""

import asyncio
import contextlib
import json
import os
import re
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from ipaddress import IPv4Network
from typing import Self, TypeVar

from dynod.model.refused import Refusal, Refused
from dynod.model.resolver import CANDIDATES, Resolver, dyno_resolver
from dynod.model.settings import Endpoint
from dynod.net import firewall, namespaces, routers
from dynod.net.addresses import Block, free_blocks
from dynod.net.claim import Claim, is_claimed
from dynod.net.ipv6 import why_not
from dynod.net.links import Links
from dynod.net.pool import Found, Place
from dynod.net.survey import survey

Answer = TypeVar("Answer")


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def machine_resolver() -> Resolver:
    """Whom dynos ask for names."""
    return dyno_resolver(map(_read, CANDIDATES))


def _slots(directory: str) -> set[int]:
    return {
        int(match[1])
        for name in os.listdir(directory)
        if (match := re.fullmatch(r"(\d{1,4})(?:\.json(?:\.new)?)?", name))
    }


def is_wired(directory: str) -> bool:
    """Say whether an earlier helper left namespaces here."""
    return any(namespaces.is_pinned(f"{directory}/{number}") for number in _slots(directory))


def choose_block(directory: str, links: Links, networks: Iterable[IPv4Network]) -> Claim:
    """Claim the block that this directory had, if something is wired in it, or else the best free one."""
    with contextlib.suppress(ValueError):
        had = Block(int(_read(f"{directory}/block")))
        if is_wired(directory):
            if claim := Claim.take(had):
                return claim
            raise Refused(
                Refusal.CONFLICT,
                f"cannot start: the dynos of {directory} are wired in {had.network}, which another process holds",
            )
    servers = [f"{one}/32" for one in machine_resolver().nameservers if ":" not in one]
    busy = (*networks, *map(IPv4Network, servers))
    for block in free_blocks(busy, links.interfaces()):
        if claim := Claim.take(block):
            with open(f"{directory}/block", "w") as file:
                file.write(str(block.number))
            return claim
    raise Refused(
        Refusal.UNAVAILABLE,
        "cannot start: every /18 of 172.16.0.0/12 is in use by this machine's addresses and routes or by other instances",
    )


def read_back(block: Block, directory: str, links: Links) -> Found:
    """Find what is taken and ready; remove what is half made or half removed."""
    names = set(links.interfaces())
    ready: list[Place] = []
    taken: list[tuple[str, Place]] = []
    half: list[Place] = []
    for number in sorted(_slots(directory)):
        bare = Place(block.slot(number), f"{directory}/{number}")
        dyno, ipv6 = _owner(bare)
        place = replace(bare, ipv6=ipv6)
        if dyno is None or not namespaces.is_pinned(place.path):
            half.append(place)
        elif dyno:
            taken.append((dyno, place))  # even without a cable: a dyno is in it
        elif place.slot.interface in names:
            ready.append(place)
        else:
            half.append(place)
    remove(block, half, links)
    return Found(tuple(ready), tuple(taken))


def _owner(place: Place) -> tuple[str | None, bool]:
    """Whose it is ('' for nobody's, None if it was not made whole), and whether it has IPv6."""
    try:
        found = json.loads(_read(place.record))
        return str(found["id"]), bool(found.get("ipv6"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None, False


def remove(block: Block, places: Iterable[Place], links: Links) -> None:
    """Remove namespaces: their records first, so that none is ever believed whole when it is not."""
    places = list(places)
    for place in places:
        for name in (place.record, f"{place.record}.new"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
    links.unwire(block, [(place.slot, place.path) for place in places])


class KernelThread:
    """The thread and its socket. It satisfies pool.Wiring once `block` is known."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._thread = ThreadPoolExecutor(1, "kernel")
        self._open = contextlib.ExitStack()
        self._links: Links
        self._mtu = 0
        self.ipv6 = False  # whether dynos that are wired from now on have IPv6
        self.why_no_ipv6 = ""
        self._claim: Claim

    async def _run(self, job: Callable[[], Answer]) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, job)

    @property
    def block(self) -> Block:
        return self._claim.block

    async def start(self) -> Found:
        """Take a block, put the firewall in force, and say what is there already."""
        return await self._run(self._start)

    def _start(self) -> Found:
        self._links = self._open.enter_context(Links())
        machine = survey()
        self._claim = choose_block(self._directory, self._links, machine.networks)
        self._open.callback(self._claim.release)
        self._mtu = machine.mtu
        self.why_no_ipv6 = why_not(machine.ipv6)
        self.ipv6 = not self.why_no_ipv6
        self._load(routers.recall(self._directory))
        self._links.reserve(self.block, ipv6=self.ipv6)
        return read_back(self.block, self._directory, self._links)

    async def wire(self, place: Place) -> None:
        await self._run(
            lambda: self._links.wire(self.block, place.slot, place.path, self._mtu, ipv6=place.ipv6)
        )

    async def unwire(self, places: Iterable[Place]) -> None:
        await self._run(lambda: remove(self.block, places, self._links))

    def _load(self, known: Iterable[Endpoint]) -> None:
        firewall.load(self.block, machine_resolver().nameservers, known, ipv6=self.ipv6)

    async def open_to(self, known: Sequence[Endpoint]) -> None:
        """Let dynos reach these of this machine, and none else."""
        routers.keep(self._directory, known)
        await self._run(lambda: self._load(known))

    async def obstacles(self) -> tuple[str, ...]:
        return await self._run(firewall.obstacles)

    async def end(self) -> None:
        """Remove everything of this instance from the kernel."""
        await self._run(self._end)

    def _end(self) -> None:
        self._links.remove_all(self.block)
        places = [
            Place(self.block.slot(number), f"{self._directory}/{number}")
            for number in _slots(self._directory)
        ]
        remove(self.block, places, self._links)
        self._links.release(self.block)
        used = self._links.interfaces()
        firewall.unload(
            self.block, lambda other: is_claimed(other) or any(name.startswith(other.prefix) for name in used)
        )
        for name in ("block", "routers"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{self._directory}/{name}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the thread; what is wired stays."""
        await self._run(self._open.close)
        self._thread.shutdown()
