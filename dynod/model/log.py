"""One line of the log, and what asks for lines."""

from dataclasses import dataclass
from enum import StrEnum

HISTORY = 1500  # lines kept per app, HEROKU.md 5.1
LINE_BYTES = 10_000  # a longer line becomes several


class Source(StrEnum):
    APP = "app"
    HEROKU = "heroku"


@dataclass(frozen=True, slots=True)
class LogLine:
    """`at` in microseconds since the epoch, UTC; `process` is `web.1`, `router`, `api`; `text` has no newline."""

    app: str
    at: int
    source: str
    process: str
    text: str


@dataclass(frozen=True, slots=True)
class LogQuery:
    """`dyno` matches a whole name or a type (`web` finds `web.1`), `source` is exact, both must hold. `lines` of history."""

    app: str
    lines: int = 100
    dyno: str = ""
    source: str = ""
    tail: bool = False
