"""Log sessions: a sealed URL, and the stream behind it as server-sent events or plain text (CLI.md 3).

The seal holds the whole query, so a session needs no memory and outlives a restart of the control plane. Each event's id says how far the
reader got: the newest time it has seen and a digest of its last line; a tail that reconnects goes on behind it, without doubles.
"""

import hashlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dynod.api import fields, shapes
from dynod.api.follow import follow
from dynod.api.operation import Ask
from dynod.link import Call
from dynod.model.log import HISTORY, LogLine, LogQuery

START = 300.0  # seconds to begin reading a session, HEROKU.md 5.1
RESUME = 86_400.0  # seconds in which a reader who had begun may come back


def query(ask: Ask) -> LogQuery:
    """Read a log session's fields."""
    body = fields.mapping(ask.body)
    lines = fields.number(body, "lines", 0, 1_000_000)
    return LogQuery(
        app=ask.app.id,
        lines=100 if lines is None else min(lines, HISTORY),
        dyno=fields.optional_text(body, "dyno") or "",
        source=fields.optional_text(body, "source") or "",
        tail=bool(fields.optional_flag(body, "tail")),
    )


async def create(ask: Ask) -> Any:
    wanted, now = query(ask), ask.links.now
    sealed = [wanted.app, wanted.lines, wanted.dyno, wanted.source, wanted.tail, now + START]
    token = ask.front.seal.close("logs", sealed, now + RESUME)
    return {
        "id": str(uuid.uuid4()),
        "created_at": shapes.stamp(now),
        "logplex_url": f"{ask.links.api}/streams/logs/{token}",
        "updated_at": shapes.stamp(now),
    }


def unsealed(value: Any) -> tuple[LogQuery, float]:
    """Return the query of a session and until when it may be begun."""
    app, lines, dyno, source, tail, start = value
    return LogQuery(app, lines, dyno, source, tail), start


def text(line: LogLine) -> str:
    """Write a line as every log reader expects it."""
    at = datetime.fromtimestamp(line.at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{at}.{line.at % 1_000_000:06d}+00:00 {line.source}[{line.process}]: {line.text}"


def _digest(line: LogLine) -> str:
    words = f"{line.at}\0{line.source}\0{line.process}\0{line.text}"
    return hashlib.sha256(words.encode(errors="replace")).hexdigest()[:12]


def event_id(newest: int, line: LogLine) -> str:
    return f"{newest}-{_digest(line)}"


def event(line: LogLine, ident: str) -> bytes:
    """Write one server-sent event. A carriage return would end the field, so it goes."""
    said = text(line).replace("\r", "").replace("\n", " ")
    return f"id: {ident}\ndata: {said}\n\n".encode(errors="replace")


def resumed(wanted: LogQuery, last_id: str) -> LogQuery:
    """Return the query for a reader who comes back: the whole ring, of which `unseen` drops what it knows."""
    return replace(wanted, lines=HISTORY) if _position(last_id) else wanted


def _position(last_id: str) -> tuple[int, str] | None:
    newest, _, digest = last_id.partition("-")
    return (int(newest), digest) if newest.isascii() and newest.isdigit() and len(newest) < 20 else None


class Unseen:
    """Says of each line whether the reader has had it before: all are old up to its last line, or to the first newer one."""

    def __init__(self, last_id: str) -> None:
        self._last = _position(last_id)
        self.newest = self._last[0] if self._last else 0

    def take(self, line: LogLine) -> bool:
        if self._last is not None:
            newest, digest = self._last
            if line.at <= newest:
                if _digest(line) == digest:
                    self._last = None
                return False
            self._last = None
        self.newest = max(self.newest, line.at)
        return True


async def events(lines: AsyncIterator[LogLine], last_id: str) -> AsyncIterator[bytes]:
    """Turn lines into events that a reader with this Last-Event-ID has not seen."""
    unseen = Unseen(last_id)
    async with follow(lines) as following:
        async for line in following:
            if unseen.take(line):
                yield event(line, event_id(unseen.newest, line))


async def read(ask: Ask, call: Call) -> Any:
    """Stream lines over the unix socket, in lists."""
    async with follow(ask.platform.logs(query(ask))) as lines:
        async for line in lines:
            said = {"at": line.at, "source": line.source, "process": line.process, "text": line.text}
            await call.item([said])
    return {}


async def plain(lines: AsyncIterator[LogLine]) -> AsyncIterator[bytes]:
    """Turn lines into text."""
    async with follow(lines) as following:
        async for line in following:
            yield f"{text(line)}\n".encode(errors="replace")
