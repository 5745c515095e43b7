"""Which lines are asked for, and which rows may come in: what the outside says, checked once. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynod.logplex.lines import lines_of
from dynod.logplex.records import Record
from dynod.model.log import LogQuery
from dynod.model.refused import Refusal, Refused

_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,55}", re.ASCII)  # part of a file's name: no dot in front, no slash
_WORD = re.compile(r"[\w.-]{1,140}", re.ASCII)
_YEAR_10000 = 253_402_300_800_000_000  # the first microsecond that no calendar here can write


class BadRow(ValueError):
    """A row that is not [app, at_us, source, process, text]."""


def is_id(value: Any) -> bool:
    """Whether `value` can name an app or a dyno, and so a directory."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def is_word(value: Any) -> bool:
    """Whether `value` can be a source or a process: `app`, `web.1`."""
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def matches(query: LogQuery, record: Record) -> bool:
    """`dyno` by name or by type (`web` finds `web.1`, not `webhook.1`), `source` as it stands, both must hold."""
    if query.source and record.source != query.source:
        return False
    return not query.dyno or record.process == query.dyno or record.process.startswith(query.dyno + ".")


@dataclass(frozen=True, slots=True)
class Ask:
    """`query`, and the last line's number that the asker has already (-1: none)."""

    query: LogQuery
    after: int = -1


def read_ask(params: Any, history: int) -> Ask:
    """Read the parameters of `recent`, `tail` and `follow`; raise Refused(INVALID)."""
    if not isinstance(params, Mapping) or not is_id(params.get("app")):
        raise Refused(Refusal.INVALID, "cannot read the log: no app was named")
    lines, after = params.get("lines", 100), params.get("after", -1)
    dyno, source = params.get("dyno") or "", params.get("source") or ""
    if type(lines) is not int or type(after) is not int:
        raise Refused(Refusal.INVALID, "cannot read the log: lines and after must be numbers")
    if not isinstance(dyno, str) or not isinstance(source, str):
        raise Refused(Refusal.INVALID, "cannot read the log: dyno and source must be names")
    lines = min(max(lines, 0), history)
    return Ask(LogQuery(params["app"], lines, dyno, source, bool(params.get("live", True))), after)


def read_row(row: Any, now: int, origin: str = "", offset: int = 0) -> tuple[str, list[Record]]:
    """Read one row that came by the door: the app and its line, or lines if the text has several; raise BadRow."""
    if isinstance(row, list | tuple) and len(row) == 5:
        app, at, source, process, text = row
        at = now if at is None else at
        in_time = type(at) is int and 0 < at < _YEAR_10000  # and no bool
        if is_id(app) and in_time and is_word(source) and is_word(process) and isinstance(text, str):
            return app, [Record(at, source, process, line, origin, offset) for line in lines_of(text)]
    raise BadRow(
        f"cannot take {str(row)[:120]!r} as a line: it should be [app, time in us, source, process, text]"
    )
