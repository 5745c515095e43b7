"""What verbs print, laid out as Heroku's CLI does it. Values go to stdout, what is going on to stderr."""

import contextlib
import json
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any


def app(name: str) -> str:
    """An app's name with Heroku's hexagon."""
    return f"⬢ {name}"


def heading(text: str) -> None:
    """`=== demo Config Vars` and an empty line."""
    print(f"=== {text}\n")


def as_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def pairs(values: Mapping[str, Any]) -> None:
    """`Key:  value` lines, sorted and aligned; lists one below the other, None left out."""
    shown = {key: values[key] for key in sorted(values) if values[key] is not None}
    width = max((len(key) for key in shown), default=0) + 2
    for key, value in shown.items():
        parts = [str(each) for each in value] if isinstance(value, list) else [str(value)]
        for at, part in enumerate(parts):
            print((f"{key}:".ljust(width) if at == 0 else " " * width) + part)


def shell(values: Mapping[str, str]) -> None:
    """`KEY=value` lines that a shell reads back as they are."""
    for key, value in values.items():
        print(f"{key}={shlex.quote(value)}")


def table(rows: Sequence[Sequence[str]]) -> None:
    """Columns, two spaces apart."""
    if not rows:
        return
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def size(count: float | None) -> str | None:
    """Bytes as Heroku's CLI says them: `42 MB`, none as None."""
    if count is None:
        return None
    unit = "B"
    for unit in ("B", "KB", "MB", "GB"):  # noqa: B007  # the last one is the answer
        if count < 1024:
            break
        count /= 1024
    return f"{count:.0f} {unit}"


def since(when: str, now: float | None = None) -> str:
    """`2026/11/20 18:00:00 +0000 (~ 3m ago)` for an ISO time."""
    at = datetime.fromisoformat(when).astimezone(UTC)
    elapsed = int((time.time() if now is None else now) - at.timestamp())
    text = at.strftime("%Y/%m/%d %H:%M:%S %z")
    for limit, unit, letter in ((60, 1, "s"), (3600, 60, "m"), (25 * 3600, 3600, "h")):
        if elapsed < limit:
            return f"{text} (~ {max(elapsed, 0) // unit}{letter} ago)"
    return text


class Action:
    """`Scaling dynos... done`; set `says` to end with more."""

    def __init__(self) -> None:
        self.says = "done"


@contextlib.contextmanager
def action(text: str) -> Iterator[Action]:
    """Say what is being done, and how it went, on stderr."""
    sys.stderr.write(f"{text}... ")
    sys.stderr.flush()
    doing = Action()
    try:
        yield doing
    except BaseException:
        sys.stderr.write("!\n")
        raise
    sys.stderr.write(f"{doing.says}\n")


def warn(text: str) -> None:
    """Heroku's warning line, on stderr."""
    sys.stderr.write(f" ›   Warning: {text}\n")  # noqa: RUF001  # the sign that its CLI prints
