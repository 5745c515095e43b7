"""Autopsies: how each dyno ended, its last log lines and the files it had changed, in STATE/autopsies/APP/.

`expect` takes the cause when it is known, `open` looks at the files while they are there, `close` adds the log and writes. Kept are
the last KEEP ends that somebody had asked for, and apart from them the last KEEP that nobody had: a deploy of a hundred dynos
does not push out the crash that it is to mend. A daemon that is killed in between loses that one autopsy, nothing else.
"""

import asyncio
import contextlib
import json
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, replace

from dynod.core.effects import Died
from dynod.host.durable import write_atomically
from dynod.host.leavings import changed
from dynod.model.app import AppId
from dynod.model.autopsy import Autopsy, Changed
from dynod.model.dyno import DynoId, DynoState
from dynod.model.log import LogLine, LogQuery
from dynod.model.refused import Refused
from dynod.model.tally import Tally

KEEP = 20
LINES = 100
_AT_ONCE = 4  # logs asked for at a time, when many dynos end together
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """An autopsy under way."""

    app: AppId
    died: Died
    files: tuple[Changed, ...]
    cut: bool


class Autopsies:
    """`recent` reads the log."""

    def __init__(self, state: str, recent: Callable[[LogQuery], Awaitable[Sequence[LogLine]]]) -> None:
        self._directory = f"{state}/autopsies"
        self._recent = recent
        self._expected: dict[DynoId, Died] = {}
        self._turn = asyncio.Semaphore(_AT_ONCE)

    def directory(self, app: AppId) -> str:
        return f"{self._directory}/{app}"

    def expect(self, died: Died) -> None:
        """Take note of an end."""
        self._expected[died.dyno] = died

    async def open(self, app: AppId, dyno: DynoId, upper: int | None) -> Opened | None:
        """Look at what a dead dyno wrote, in the directory that is ours to close (None: nobody knows); None if its end was not seen."""
        died = self._expected.pop(dyno, None)
        if died is None:
            if upper is not None:
                os.close(upper)
            return None
        try:
            files, cut = ((), True) if upper is None else await asyncio.to_thread(changed, upper)
        except OSError as error:
            _log.warning("cannot list what %s wrote: %s", died.name, error)
            files, cut = (), True
        finally:
            if upper is not None:
                os.close(upper)
        return Opened(app, died, files, cut)

    async def close(self, opened: Opened) -> None:
        """Add the last lines, which are in the log once the dyno is forgotten, and write."""
        died = opened.died
        async with self._turn:
            try:
                lines = await self._recent(LogQuery(opened.app, LINES, str(died.name)))
            except Refused as refused:
                _log.warning("cannot read the last lines of %s: %s", died.name, refused)
                lines = ()
            autopsy = Autopsy(
                died.dyno,
                str(died.name),
                str(died.state),
                died.status,
                died.cause,
                died.peak,
                died.release,
                died.size,
                died.command,
                died.created,
                died.at,
                tuple(f"{line.source}[{line.process}]: {line.text}" for line in lines),
                opened.files,
                opened.cut,
                died.tally,
            )
            try:
                await asyncio.to_thread(_keep, self.directory(opened.app), autopsy, _asked(died))
            except OSError as error:
                _log.warning("cannot keep the autopsy of %s: %s", died.name, error)

    async def find(self, app: AppId, dyno: str) -> Sequence[Autopsy]:
        """Those of a dyno, by name or id, the newest first."""
        kept = await asyncio.to_thread(_read, self.directory(app))
        return [each for each in kept if dyno in {each.name, each.dyno}]


def _asked(died: Died) -> bool:
    return died.state is not DynoState.CRASHED and died.status in (0, 143)


def _keep(directory: str, autopsy: Autopsy, asked: bool) -> None:
    os.makedirs(directory, mode=0o700, exist_ok=True)
    sort = "asked" if asked else "fault"
    path = f"{directory}/{int(autopsy.at * 1000):014d}-{sort}-{autopsy.dyno}.json"
    write_atomically(path, json.dumps(asdict(autopsy), separators=(",", ":")).encode(), 0o600)
    same = sorted(name for name in os.listdir(directory) if f"-{sort}-" in name and name.endswith(".json"))
    for name in same[:-KEEP]:
        with contextlib.suppress(FileNotFoundError):  # others of the app end at the same time
            os.unlink(f"{directory}/{name}")


def _read(directory: str) -> list[Autopsy]:
    found = []
    try:
        names = sorted(os.listdir(directory), reverse=True)
    except FileNotFoundError:
        return []
    for name in names:
        try:
            with open(f"{directory}/{name}", encoding="utf-8") as file:
                found.append(_autopsy(json.load(file)))
        except (
            OSError,
            ValueError,
            TypeError,
            KeyError,
        ) as error:  # one that a power cut spoiled, or was pruned meanwhile
            _log.warning("cannot read the autopsy %s: %s", name, error)
    return found


def _autopsy(value: dict[str, object]) -> Autopsy:
    made = Autopsy(**value)  # type: ignore[arg-type]  # what _keep wrote; anything else is a TypeError
    files = tuple(Changed(**each) for each in value["files"])  # type: ignore[attr-defined]  # as above
    tally = Tally.from_json(value.get("tally", {}))  # type: ignore[arg-type]  # as above; an earlier version wrote none
    return replace(made, lines=tuple(made.lines), files=files, tally=tally)
