"""The whole of logplex but its sockets: which dyno's lines go into which app's ring, and who listens.

Entry points: `piped`, `gone`, `listed` (from the dyno host), `add` (from the door), `ask` and `listen` (for readers), `forget`.
"""

import fcntl
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from dynod.logplex.flood import NO_LIMIT, overflow
from dynod.logplex.intake import Intake, Lines
from dynod.logplex.query import Ask, is_id, is_word, matches
from dynod.logplex.records import Record
from dynod.logplex.ring import WRITER, Ring
from dynod.logplex.spool import Spool
from dynod.logplex.tail import Numbered, Tail
from dynod.model.log import HISTORY, Source

FORGOTTEN = 4_096  # apps whose late lines are thrown away; ids are never used twice
UNCLAIMED = "unclaimed"  # the ring of a dyno whose labels nobody can read: its pipe must be read all the same


def _now_us() -> int:
    return time.time_ns() // 1000


class Plex:
    """One per state directory: it holds the directory's lock."""

    def __init__(
        self,
        directory: str,
        history: int = HISTORY,
        now_us: Callable[[], int] = _now_us,
        rate: int = NO_LIMIT,
    ) -> None:
        self.history = history
        self.now_us = now_us
        self.lines = 0
        self.dropped = 0
        self.rate = rate
        self._directory = directory
        self._rings: dict[str, Ring] = {}
        self._intakes: dict[str, Intake] = {}
        self._listeners: dict[str, dict[Tail, Callable[[], None]]] = {}
        self._unlisted: set[str] = set()  # dynos that the host does not know and whose pipe is open here
        self._forgotten: OrderedDict[str, None] = OrderedDict()
        os.makedirs(f"{directory}/.spool", 0o700, exist_ok=True)
        self._lock = os.open(f"{directory}/.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)  # waits for a predecessor that is still dying
        spools = [name.split("~") for name in os.listdir(f"{directory}/.spool") if name.count("~") == 2]
        self._spooled = frozenset(spool[0] for spool in spools)  # whose offsets matter still
        for id, app, process in spools:
            self._intake(id, app, process)

    def close(self) -> None:
        """Let go of everything; all of it is on the disk."""
        for intake in self._intakes.values():
            intake.close()
        for ring in self._rings.values():
            ring.close()
        os.close(self._lock)

    # -- dynos ---------------------------------------------------------------------------------------------------------

    def piped(self, id: str, labels: Mapping[str, Any], pipe: int) -> None:
        """Read a dyno's output from now on."""
        intake = self._intakes.get(id)
        if intake is None:
            intake = self._intake(id, *_whose(labels))
        self._unlisted.discard(id)
        intake.attach(pipe)

    def gone(self, id: str) -> None:
        """The dyno is no more: what it said last goes into the ring."""
        self._unlisted.discard(id)
        if (intake := self._intakes.pop(id, None)) is not None:
            intake.finish()
            if intake.app not in self._forgotten:
                self._ring(intake.app).drop(id)

    def listed(self, ids: frozenset[str]) -> None:
        """Finish dynos that ended while this process or the host was away; one whose pipe is open here may still speak."""
        for id, intake in list(self._intakes.items()):
            if id in ids:
                continue
            if intake.reading:
                self._unlisted.add(id)
            else:
                self.gone(id)

    def ended(self, intake: Intake) -> None:
        """A pipe's end; the host's `gone` will follow if the host knows the dyno."""
        if intake.id in self._unlisted:
            self.gone(intake.id)

    def _intake(self, id: str, app: str, process: str) -> Intake:
        # The name says whose output it is: one mkdir, and a restart that finds the spool and no dyno knows all it needs.
        spool = Spool(f"{self._directory}/.spool/{id}~{app}~{process}")
        offset = 0 if app in self._forgotten else self._ring(app).offset(id)
        intake = self._intakes[id] = Intake(id, app, process, spool, offset, self)
        intake.muted = app in self._forgotten
        return intake

    def emit(self, intake: Intake, lines: Lines) -> bool:
        """Put a dyno's lines into its app's ring, stamped now; no two of an app's have the same time."""
        ring = self._ring(intake.app)
        first = max(self.now_us(), ring.last_at + 1)
        records = [
            Record(at, Source.APP, intake.process, text, intake.id, offset)
            for at, (text, offset) in enumerate(lines, first)
        ]
        self._append(intake.app, ring, records)
        return ring.kept

    def lost(self, intake: Intake, dropped: int, since: int) -> None:
        """Say in the app's log how many of a dyno's lines were dropped."""
        self.dropped += dropped
        at = max(self.now_us(), since)
        self.add(intake.app, [overflow(intake.process, dropped, since, at)])

    def limit(self, rate: int) -> None:
        """Let each dyno log so much from now on (flood.py)."""
        self.rate = rate
        for intake in self._intakes.values():
            intake.limit(rate)

    # -- lines by the door ---------------------------------------------------------------------------------------------

    def add(self, app: str, records: list[Record]) -> None:
        """Add lines of the router, the platform and the like; ones that an origin brought before are left out."""
        if app in self._forgotten:
            return
        ring = self._ring(app)
        fresh = [
            record for record in records if not record.origin or record.offset > ring.offset(record.origin)
        ]
        if fresh:
            self._append(app, ring, fresh)

    def forget(self, app: str) -> None:
        """Drop an app's lines, now and in future."""
        self._forgotten[app] = None
        if len(self._forgotten) > FORGOTTEN:
            self._forgotten.popitem(last=False)
        for intake in self._intakes.values():
            intake.muted = intake.muted or intake.app == app
        ring = self._rings.pop(app, None) or Ring(self._path(app), self.history)
        ring.remove()
        for tail, wake in self._listeners.get(app, {}).items():
            tail.over = True
            wake()

    # -- readers -------------------------------------------------------------------------------------------------------

    def ask(self, ask: Ask) -> list[Numbered]:
        """Return history: the last lines that match, or, for who was here before, all behind the last it has."""
        query = ask.query
        if query.app not in self._rings and not os.path.isdir(self._path(query.app)):
            return []
        found = [
            (number, record)
            for number, record in self._ring(query.app).read(ask.after)
            if matches(query, record)
        ]
        return found if ask.after >= 0 else found[len(found) - min(query.lines, len(found)) :]

    def listen(self, tail: Tail, wake: Callable[[], None]) -> None:
        """Offer every new line of the app to `tail`; `wake` is called when it has something."""
        self._listeners.setdefault(tail.query.app, {})[tail] = wake
        tail.over = tail.query.app in self._forgotten

    def leave(self, tail: Tail) -> None:
        """Nobody listens to `tail` any more."""
        listeners = self._listeners.get(tail.query.app, {})
        listeners.pop(tail, None)
        if not listeners:
            self._listeners.pop(tail.query.app, None)

    def stat(self) -> dict[str, int]:
        """Return counts for `dynod doctor` and tests."""
        return {
            "lines": self.lines,
            "rings": len(self._rings),
            "dynos": len(self._intakes),
            "reading": sum(intake.reading for intake in self._intakes.values()),
            "unkept_bytes": sum(intake.unkept for intake in self._intakes.values()),
            "dropped": self.dropped,
            "rate": self.rate,
            "tails": sum(map(len, self._listeners.values())),
        }

    # -- inside --------------------------------------------------------------------------------------------------------

    def _append(self, app: str, ring: Ring, records: list[Record]) -> None:
        first = ring.append(records)
        self.lines += len(records)
        for tail, wake in self._listeners.get(app, {}).items():
            if tail.offer(first, records):
                wake()

    def _ring(self, app: str) -> Ring:
        ring = self._rings.get(app)
        if ring is None:
            ring = self._rings[app] = Ring(self._path(app), self.history)
            for origin in ring.origins():
                if not origin.startswith(WRITER) and origin not in self._spooled:
                    ring.drop(origin)  # that dyno was finished; its id never comes back
        return ring

    def _path(self, app: str) -> str:
        return f"{self._directory}/{app}"


def _whose(labels: Mapping[str, Any]) -> tuple[str, str]:
    """Return the app's id and the dyno's name."""
    app, name = str(labels.get("app")), str(labels.get("name"))
    return (app if "app" in labels and is_id(app) else UNCLAIMED), (name if is_word(name) else "dyno")
