"""RUN/logplex.sock: who may say what to logplex, and how readers are answered.

| method | kind | params | answer |
|---|---|---|---|
| hello | notification | the language, from who speaks; `refused` (why) comes back if it is not ours | |
| lines | notification | [[app, at_us or nil, source, process, text], ...] | |
| write | call | {writer, first, rows}: the same rows, numbered from `first` | number behind the last; rows that came before are left out |
| recent | call | {app, lines, dyno, source} | [[at_us, source, process, text], ...], the newest that fit in one answer |
| tail | stream | the same | lists of such rows: history, then live lines |
| follow | stream | the same and {after, live} | lists of [number, at_us, source, process, text]: behind `after`, or history |
| forget | call | {app} | true |
| rate | call | {rate}: lines a second that each dyno may log, 0 for no limit | true |
| stat | call | | counts |
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from dynod.link import Call
from dynod.link.server import Connection, Notified
from dynod.logplex.pipes import HostLink
from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask, BadRow, is_id, read_ask, read_row
from dynod.logplex.records import Record
from dynod.logplex.ring import WRITER
from dynod.logplex.tail import Numbered, Tail
from dynod.model.refused import Refusal, Refused
from dynod.wire.rpc import Notification, encode

_log = logging.getLogger(__name__)
CHUNK = 256 * 1024  # characters per stream item
ANSWER = 2 * 1024 * 1024  # characters per answer: in UTF-8 surely less than a frame may hold


class Door(Notified):
    """Serves one Plex; pass `answer` and the door itself to dynod.link.serve. `tells`: the user that may say lines and ask for none."""

    def __init__(self, plex: Plex, host: HostLink, tells: int | None = None) -> None:
        self._plex = plex
        self._host = host
        self._tells = tells
        self._refused = 0

    # -- coming in -----------------------------------------------------------------------------------------------------

    def took(self, connection: Connection, notification: Notification) -> None:
        """Take `lines`; a row that is none is counted and left out, and its neighbours are taken."""
        if connection.stranger:
            self._refuse(f"pid {connection.pid} was told that it is not understood")
        elif notification.method == "lines" and isinstance(notification.params, list):
            self._take(notification.params)
        else:
            self._refuse(f"no notification {notification.method!r} is known, from pid {connection.pid}")

    def refused(self, connection: Connection) -> None:
        """Tell who only notifies that it is not understood: it keeps its lines until it is."""
        connection.writer.write(encode(Notification("refused", connection.stranger)))

    def _take(self, rows: list[Any], origin: str = "", first: int = 1) -> None:
        now = self._plex.now_us()
        apps: dict[str, list[Record]] = {}
        for number, row in enumerate(rows, first):
            try:
                app, records = read_row(row, now, origin, number)
            except BadRow as bad:
                self._refuse(str(bad))
            else:
                apps.setdefault(app, []).extend(records)
        for app, records in apps.items():
            self._plex.add(app, records)

    def _refuse(self, why: str) -> None:
        self._refused += 1
        # The 1st, 2nd, 4th, 8th ...: a flood of bad rows is no flood of ours.
        if self._refused & (self._refused - 1) == 0:
            _log.warning("refused, %d by now: %s", self._refused, why)

    # -- calls ---------------------------------------------------------------------------------------------------------

    async def answer(self, call: Call) -> Any:
        """Answer one call; raise Refused."""
        if call.connection.uid == self._tells:
            raise Refused(
                Refusal.FORBIDDEN, f"cannot answer {call.method!r}: the router says lines and asks nothing"
            )
        match call.method:
            case "write":
                return self._write(call.params)
            case "recent":
                rows = _newest(self._plex.ask(read_ask(call.params, self._plex.history)))
                return [_row(record) for _, record in rows]
            case "tail":
                return await self._stream(call, read_ask(call.params, self._plex.history), numbered=False)
            case "follow":
                return await self._stream(call, read_ask(call.params, self._plex.history), numbered=True)
            case "forget":
                self._plex.forget(_app(call.params))
                return True
            case "rate":
                self._plex.limit(_rate(call.params))
                return True
            case "stat":
                return {**self._plex.stat(), "refused": self._refused, "host": self._host.connected}
            case unknown:
                raise Refused(Refusal.NOT_FOUND, f"cannot answer {unknown!r}: logplex has no such method")

    def _write(self, params: Any) -> int:
        match params:
            case {"writer": str(writer), "first": int(first), "rows": list(rows)} if is_id(writer):
                self._take(rows, WRITER + writer, first)
                return first + len(rows)
            case _:
                raise Refused(Refusal.INVALID, "cannot write lines: writer, first and rows are needed")

    async def _stream(self, call: Call, ask: Ask, *, numbered: bool) -> None:
        """Send history, then live lines until the reader leaves or the app is forgotten: between the two nothing is awaited,
        so none is missed.
        """
        tail, awake = Tail(ask.query), asyncio.Event()
        rows = self._plex.ask(ask)
        if ask.query.tail:
            self._plex.listen(tail, awake.set)
        try:
            await self._send(call, rows, numbered=numbered)
            while ask.query.tail and not tail.over:
                await awake.wait()
                awake.clear()
                await self._send(call, tail.take(), numbered=numbered)
        finally:
            self._plex.leave(tail)

    async def _send(self, call: Call, rows: list[Numbered], *, numbered: bool) -> None:
        item: list[list[Any]] = []
        size = 0
        for number, record in rows:
            item.append([number, *_row(record)] if numbered else _row(record))
            size += len(record.text) + 64
            if size >= CHUNK:
                await call.item(item)
                item, size = [], 0
        if item:
            await call.item(item)


def _row(record: Record) -> list[Any]:
    return [record.at, record.source, record.process, record.text]


def _newest(rows: list[Numbered]) -> list[Numbered]:
    size = 0
    for index in range(len(rows) - 1, -1, -1):
        size += len(rows[index][1].text) + 64
        if size > ANSWER:
            return rows[index + 1 :]
    return rows


def _app(params: Any) -> str:
    app = params.get("app") if isinstance(params, Mapping) else None
    if not isinstance(app, str) or not is_id(app):
        raise Refused(Refusal.INVALID, "cannot forget an app's lines: no app was named")
    return app


def _rate(params: Any) -> int:
    rate = params.get("rate") if isinstance(params, Mapping) else None
    if not isinstance(rate, int) or isinstance(rate, bool) or rate < 0:
        raise Refused(
            Refusal.INVALID, f"cannot limit what dynos log to {rate!r}: it must be a number of lines a second"
        )
    return rate
