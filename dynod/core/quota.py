"""A dyno's memory against its quota: when R14 is said, when R15 ends it, and what log-runtime-metrics prints. Pure.

Heroku's rules (HEROKU.md 1.6, 10.5): R14 warns every 20 s while rss + swap + cache is above the quota, and nothing is stopped;
R15 kills at twice the quota, where page cache does not count. So the kernel's own limit, which counts page cache and the kernel's
memory on top, stands somewhat above twice the quota (`ceiling`): at exactly twice it would always be the kernel that kills. What
grows too fast to be read before is killed by the kernel there, and is told as R15 all the same (core/lifecycle.py).
Who reads and when is engine/watch_memory.py's business; where the numbers come from is host/meter.py's.
"""

import math
from dataclasses import dataclass, replace

from dynod.model.codes import RCode
from dynod.model.formation import MIB

CADENCE = 20.0  # seconds between two R14 lines, and between two samples
CLOSE = 1.0  # seconds to the next look at a dyno that is close to R15
_EARLY = 0.5  # a timer may be early by less than this


@dataclass(frozen=True, slots=True)
class Reading:
    """One dyno's memory in bytes, paging in pages.

    `used` is what the kernel counts against its limit: all of the above and its own memory for the dyno; `peak` the highest that
    ever was. `kills`: processes that the kernel killed for memory.
    """

    rss: int
    cache: int
    swap: int
    pgpgin: int = 0
    pgpgout: int = 0
    used: int = 0
    peak: int = 0
    kills: int = 0

    @property
    def total(self) -> int:
        """What R14 looks at."""
        return self.rss + self.swap + self.cache

    @property
    def held(self) -> int:
        """What R15 looks at: page cache can be taken back at any time."""
        return self.rss + self.swap


@dataclass(frozen=True, slots=True)
class Watched:
    """What is remembered of a dyno between two looks. `warned`: mono time of its last R14. `wait`: before the next look."""

    quota: int
    warned: float | None = None
    wait: float = 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """`lines` to log; `vast`: bytes that make it R15, else 0; `again`: mono time of the next look, None to wait for an event."""

    lines: tuple[str, ...] = ()
    vast: int = 0
    again: float | None = None


def vast(quota: int) -> int:
    """From how many bytes on it is R15."""
    return 2 * quota


def ceiling(quota: int) -> int:
    """The kernel's hard limit: an eighth of the quota, at least 32 MiB, above R15, for cache and the kernel's own."""
    return vast(quota) + max(quota // 8, 32 * MIB)


def look(watched: Watched, reading: Reading, now: float) -> tuple[Watched, Finding]:
    """Judge one reading."""
    quota = watched.quota
    most = max(reading.held, reading.peak if reading.kills else 0)
    if most >= vast(quota):
        return watched, Finding(vast=most)
    if reading.used <= quota and reading.total <= quota:
        return replace(watched, wait=0.0), Finding()
    if reading.total <= quota:
        # The kernel's event for the quota is spent, but R14 does not count the kernel's own memory: look again, ever less often.
        watched = replace(watched, wait=min(max(2 * watched.wait, CLOSE), CADENCE))
        return watched, Finding(again=now + watched.wait)
    lines: tuple[str, ...] = ()
    if watched.warned is None or now - watched.warned >= CADENCE - _EARLY:
        watched = replace(watched, warned=now, wait=0.0)
        lines = (running(reading.total, quota), f"Error {RCode.R14.value}")
    assert watched.warned is not None
    close = 4 * reading.held >= 7 * quota
    return watched, Finding(lines, again=now + CLOSE if close else watched.warned + CADENCE)


# -- words ---------------------------------------------------------------------------------------------------------


def running(used: int, quota: int) -> str:
    """`Process running mem=870M(170.1%)`."""
    return f"Process running mem={used // MIB}M({100 * used / quota:.1f}%)"


def r15(used: int, quota: int) -> tuple[str, ...]:
    """The lines before a kill."""
    return running(used, quota), f"Error {RCode.R15.value}", "Stopping process with SIGKILL"


def why_r15(used: int, quota: int) -> str:
    """The same for the history."""
    return f"R15: it had {used // MIB}M of memory with a quota of {quota // MIB}M"


# -- log-runtime-metrics -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Load:
    """Runnable tasks of a dyno, averaged over 1, 5 and 15 minutes as the kernel does it for a machine."""

    one: float = 0.0
    five: float = 0.0
    fifteen: float = 0.0


def load_after(load: Load, runnable: int, seconds: float) -> Load:
    """Take one more count, `seconds` after the last one."""

    def average(before: float, minutes: int) -> float:
        kept = math.exp(-seconds / (60 * minutes))
        return before * kept + runnable * (1 - kept)

    return Load(average(load.one, 1), average(load.five, 5), average(load.fifteen, 15))


def samples(name: str, app: str, dyno: str, load: Load, reading: Reading, quota: int) -> tuple[str, str]:
    """The two lines of log-runtime-metrics."""
    head = f"source={name} dyno=heroku.{app}.{dyno}"
    averages = zip(("1m", "5m", "15m"), (load.one, load.five, load.fifteen), strict=True)
    memory = {
        "total": _mb(reading.total),
        "rss": _mb(reading.rss),
        "cache": _mb(reading.cache),
        "swap": _mb(reading.swap),
        "pgpgin": f"{reading.pgpgin}pages",
        "pgpgout": f"{reading.pgpgout}pages",
        "quota": _mb(quota),
    }
    return (
        " ".join([head, *(f"sample#load_avg_{span}={value:.2f}" for span, value in averages)]),
        " ".join([head, *(f"sample#memory_{key}={value}" for key, value in memory.items())]),
    )


def _mb(count: int) -> str:
    return f"{count / MIB:.2f}MB"
