"""`dyno logs`: history and live lines, in Heroku's form."""

import json
import sys
from datetime import UTC, datetime
from typing import Any

from dynod.cli.options import Usage
from dynod.cli.session import Session


def line(row: dict[str, Any]) -> str:
    """`2026-11-20T18:00:00.123456+00:00 app[web.1]: text`."""
    at = datetime.fromtimestamp(row["at"] // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{at}.{row['at'] % 1_000_000:06d}+00:00 {row['source']}[{row['process']}]: {row['text']}"


def show(session: Session, *, dyno: str, tail: bool, lines: int = 100, source: str = "") -> None:
    """Print lines until the stream ends; a tail ends with Ctrl-C."""
    body = {"lines": lines, "tail": tail, "dyno": dyno, "source": source}
    as_json = session.given.on("json")
    for rows in session.app_stream("logs.read", body):
        for row in rows:
            sys.stdout.write((json.dumps(row, ensure_ascii=False) if as_json else line(row)) + "\n")
        sys.stdout.flush()


def logs(session: Session) -> None:
    """As `heroku logs`; with --json, one object per line."""
    given = session.given
    dyno, type = given.text("dyno-name"), given.text("process-type")
    if dyno and type:
        raise Usage("cannot take both a dyno and a process type: name one of them")
    lines = given.number("num", 100, least=0)
    show(session, dyno=dyno or type, tail=given.on("tail"), lines=lines, source=given.text("source"))
