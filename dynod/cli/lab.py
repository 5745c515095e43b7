"""Time in a lab."""

import re

from dynod.cli import page
from dynod.cli.options import Usage
from dynod.cli.session import Session

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"-?(?:\d{1,9}[dhms]){1,9}", re.ASCII)
_PART = re.compile(r"(\d+)([dhms])", re.ASCII)


def seconds(text: str) -> int:
    """Read `1d2h30m5s`; raise Usage."""
    if not _TIME.fullmatch(text):
        raise Usage(f"cannot read {text!r} as a time: it must look like 24h, 90m or 1d2h30m5s")
    total = sum(int(count) * _UNITS[unit] for count, unit in _PART.findall(text))
    return -total if text.startswith("-") else total


def advance(session: Session) -> None:
    """Let time pass."""
    by = seconds(session.given.words[0])
    now = session.call("lab.advance", {"seconds": by, "wall_only": session.given.on("wall")})
    if session.given.on("json"):
        page.as_json(now)
    else:
        print(f"It is {now['now']} here now")
