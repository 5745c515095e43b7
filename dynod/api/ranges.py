"""Paging by `Range` and `Next-Range` (HEROKU.md 0, CLI.md 2.2). Pure.

    Range:      version ..; order=desc,max=10     id ]0123..; max=200     name a..f; max=5, order=asc
    Next-Range: version ]42..; order=desc,max=10

Bounds are read along the order asked for: with `order=desc`, `]42..` goes on below 42. `]x` leaves x out at the start, `x[` at the end.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynod.model.refused import Refusal, Refused

DEFAULT_MAX = 200
MAX = 1000

_RANGE = re.compile(
    r"\s*([a-z_]+)\s+([\[\]]?)([^;\s\[\]]*?)\.\.([^;\s\[\]]*?)([\[\]]?)\s*(?:;(.*))?", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Range:
    """Which items, by which of their properties. A bound of '' is open; `after`, `before` leave the bound itself out."""

    by: str
    start: str = ""
    end: str = ""
    after: bool = False
    before: bool = False
    descending: bool = False
    max: int = DEFAULT_MAX

    def __str__(self) -> str:
        bounds = f"{']' if self.after else ''}{self.start}..{self.end}{'[' if self.before else ''}"
        order = "order=desc," if self.descending else ""
        return f"{self.by} {bounds}; {order}max={self.max}"


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is None on the last page."""

    items: Sequence[Mapping[str, Any]]
    next: Range | None


def _refused(text: str, why: str) -> Refused:
    return Refused(Refusal.RANGE, f"cannot give the range {text[:100]!r}: {why}")


def _options(text: str, options: str) -> tuple[bool, int]:
    descending, most = False, DEFAULT_MAX
    for option in re.split(r"[;,]", options):
        key, _, value = (part.strip() for part in option.partition("="))
        if key == "order" and value in {"asc", "desc"}:
            descending = value == "desc"
        elif key == "max" and re.fullmatch(r"[0-9]{1,9}", value, re.ASCII) and int(value) > 0:
            most = min(int(value), MAX)
        elif key:
            raise _refused(text, "after `;` come `order=asc`, `order=desc` and `max=` with a number above 0")
    return descending, most


def parse(text: str, properties: Sequence[str]) -> Range:
    """Read a Range header over items that can be ordered by `properties`; raise Refused(RANGE)."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise _refused(text, "it should look like `id ..; max=200`")
    by, left, start, end, right, options = found.groups()
    if by not in properties:
        raise _refused(text, f"these can be ordered by {', '.join(properties)}")
    descending, most = _options(text, options or "")
    return Range(by, start, end, left == "]", right == "[", descending, most)


def _key(value: Any, bound: str, asked: Range) -> Any:
    if not isinstance(value, int):
        return bound
    if not re.fullmatch(r"-?[0-9]{1,18}", bound, re.ASCII):
        raise _refused(str(asked), f"{asked.by} is a number")
    return int(bound)


def _within(value: Any, asked: Range) -> bool:
    sign = -1 if asked.descending else 1

    def side(bound: str) -> int:
        key = _key(value, bound, asked)
        return sign * (int(value > key) - int(value < key))

    first = not asked.start or side(asked.start) >= (1 if asked.after else 0)
    last = not asked.end or side(asked.end) <= (-1 if asked.before else 0)
    return first and last


def page(items: Sequence[Mapping[str, Any]], asked: Range) -> Page:
    """Choose, order and cut."""
    chosen = [item for item in items if _within(item[asked.by], asked)]
    chosen.sort(key=lambda item: item[asked.by], reverse=asked.descending)
    if len(chosen) <= asked.max:
        return Page(chosen, None)
    cut = chosen[: asked.max]
    return Page(cut, replace(asked, start=str(cut[-1][asked.by]), after=True))
