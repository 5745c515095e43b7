"""What time it is: one monotonic reading for deadlines, one of the wall for people. A lab can advance both, and set the wall alone.

CLOCK_BOOTTIME goes on through suspend and is the same for every process of one boot, so deadlines outlive a restart of the
daemon and no jump of the wall clock moves them. After a reboot there are no dynos whose deadlines could be wrong.

Advancing (`lab_time = true`) is for tests of what takes a day. How far it went is kept in RUN, since it must live as long as the
deadlines do. LabLoop has every timer and timeout of the program go along; what waits for another program may then be given up.
"""

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass

from dynod.core.lifecycle import Now
from dynod.host.durable import write_atomically


@dataclass(frozen=True, slots=True)
class Shift:
    """Seconds: `passed` are those that all clocks were advanced by, `jumped` those that the wall clock was set by besides."""

    passed: float = 0.0
    jumped: float = 0.0


_shift = Shift()


def now() -> Now:
    """Read both clocks."""
    return Now(
        time.clock_gettime(time.CLOCK_BOOTTIME) + _shift.passed,
        time.time() + _shift.passed + _shift.jumped,
    )


def wall() -> float:
    """Read the wall clock alone, in epoch seconds."""
    return now().wall


class LabLoop(asyncio.SelectorEventLoop):
    """An event loop for which time passes when it is advanced."""

    def time(self) -> float:
        return super().time() + _shift.passed


def _file(run: str) -> str:
    return os.path.realpath(f"{run}/time.json")  # under systemd RUN is not ours, and this is a link


def recall(run: str) -> None:
    """Go on from where an earlier daemon of this boot was advanced to."""
    global _shift  # noqa: PLW0603  # the time of the whole program, as time.time() is
    try:
        with open(_file(run)) as file:
            _shift = Shift(**json.load(file))
    except FileNotFoundError:
        _shift = Shift()


def advance(run: str, seconds: float) -> None:
    """Let time pass, for every deadline and for people."""
    _move(run, Shift(_shift.passed + seconds, _shift.jumped))


def set_wall(run: str, by: float) -> None:
    """Set the wall clock, as an administrator or NTP would: no time passes."""
    _move(run, Shift(_shift.passed, _shift.jumped + by))


def _move(run: str, shift: Shift) -> None:
    global _shift  # noqa: PLW0603  # as above
    write_atomically(_file(run), json.dumps(asdict(shift)).encode())
    _shift = shift
