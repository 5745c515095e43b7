"""npm's version ranges, as engines.node uses them (github.com/npm/node-semver#ranges). Pure.

A version with a pre-release tag satisfies a range only where a comparator of the same x.y.z names one, as in npm's own; pre-release
bounds are compared whole. Build metadata is dropped.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

# The tag's parts as (0, number, '') or (1, 0, text).
Version = tuple[int, int, int, tuple[tuple[int, int, str], ...]]

_NUMBER = r"(?:0|[1-9]\d*)"
_FULL = re.compile(
    rf"[v=\s]*({_NUMBER})\.({_NUMBER})\.({_NUMBER})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?\s*"
)
_X = r"(?:0|[1-9]\d*|[xX*])"
_PARTIAL = rf"[v=\s]*({_X})(?:\.({_X})(?:\.({_X})(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)?)?"
_COMPARATOR = re.compile(rf"(<=|>=|<|>|=|\^|~>|~|)\s*{_PARTIAL}")
_HYPHEN = re.compile(rf"\s*({_PARTIAL})\s+-\s+({_PARTIAL})\s*")


class BadRange(ValueError):
    """Not a range that npm would read."""


@dataclass(frozen=True, slots=True)
class _Bound:
    """`low <= v < high` by default; the flags change an edge. None is no edge."""

    low: Version | None
    high: Version | None
    low_open: bool = False
    high_closed: bool = False


def version(text: str) -> Version:
    """Read a whole version; raise BadRange."""
    found = _FULL.fullmatch(text)
    if found is None:
        raise BadRange(f"not a version: {text!r}")
    return int(found[1]), int(found[2]), int(found[3]), _tag(found[4])


def satisfies(text: str, wanted: str) -> bool:
    """Say whether version `text` is in the range `wanted`; raise BadRange."""
    checked = version(text)
    return any(
        all(_within(checked, bound) for bound in both) and _tag_allowed(checked, both)
        for both in _sets(wanted)
    )


def best(texts: Iterable[str], wanted: str) -> str | None:
    """The highest version in the range, or None; raise BadRange for the range."""
    fitting = [text for text in texts if satisfies(text, wanted)]
    return max(fitting, key=lambda text: _order(version(text)), default=None)


def _tag(text: str | None) -> tuple[tuple[int, int, str], ...]:
    if not text:
        return ()
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in text.split("."))


def _order(value: Version) -> tuple[tuple[int, int, int], bool, tuple[tuple[int, int, str], ...]]:
    """A version without a tag comes after those with one."""
    return value[:3], not value[3], value[3]


def _within(value: Version, bound: _Bound) -> bool:
    at = _order(value)
    if bound.low is not None and (at < _order(bound.low) or (bound.low_open and at == _order(bound.low))):
        return False
    if bound.high is None or at < _order(bound.high):
        return True
    return bound.high_closed and at == _order(bound.high)


def _tag_allowed(value: Version, bounds: list[_Bound]) -> bool:
    if not value[3]:
        return True
    edges = [edge for bound in bounds for edge in (bound.low, bound.high) if edge is not None]
    return any(edge[3] and edge[:3] == value[:3] for edge in edges)


_ZERO = ((0, 0, ""),)  # `-0`, below every pre-release: where an upper edge excludes them too


def _sets(wanted: str) -> list[list[_Bound]]:
    return [_set(part.strip()) for part in wanted.split("||")]


def _set(text: str) -> list[_Bound]:
    hyphen = _HYPHEN.fullmatch(text)
    if hyphen is not None:
        groups = hyphen.groups()
        low, _ = _edges(groups[1:5])
        last, upper = _edges(groups[6:10])
        whole = None not in _numbers(groups[6:10])
        return [_Bound(low, last if whole else upper, high_closed=whole)]
    if text in ("", "latest"):
        return [_Bound(None, None)]
    bounds: list[_Bound] = []
    at = 0
    while at < len(text):
        found = _COMPARATOR.match(text, at)
        if found is None or (found.end() < len(text) and not text[found.end()].isspace()):
            raise BadRange(f"not a version range: {text!r}")
        bounds.append(_comparator(found[1], found.groups()[1:5]))
        at = found.end()
        while at < len(text) and text[at].isspace():
            at += 1
    return bounds


Groups = tuple[str | None, ...]


def _numbers(groups: Groups) -> tuple[int | None, int | None, int | None]:
    """Major, minor, patch; None from the first wildcard or missing one on."""
    numbers: list[int | None] = []
    for group in groups[:3]:
        known = group is not None and group.isdigit() and None not in numbers
        numbers.append(int(group) if known and group is not None else None)
    return numbers[0], numbers[1], numbers[2]


def _edges(groups: Groups) -> tuple[Version | None, Version | None]:
    """The partial version as an interval: its lowest version, and the first one above it."""
    major, minor, patch = _numbers(groups)
    if major is None:
        return None, None
    if minor is None:
        return (major, 0, 0, ()), (major + 1, 0, 0, _ZERO)
    if patch is None:
        return (major, minor, 0, ()), (major, minor + 1, 0, _ZERO)
    return (major, minor, patch, _tag(groups[3])), (major, minor, patch + 1, _ZERO)


def _comparator(operator: str, groups: Groups) -> _Bound:
    major, minor, patch = _numbers(groups)
    low, above = _edges(groups)
    if low is None or major is None:  # `*`: everything, or with < and > nothing
        return _Bound((0, 0, 0, _ZERO), (0, 0, 0, _ZERO)) if operator in ("<", ">") else _Bound(None, None)
    whole = minor is not None and patch is not None
    match operator:
        case "^":
            return _Bound(low, _caret(major, minor, patch))
        case "~" | "~>":
            return _Bound(low, (major, minor + 1, 0, _ZERO) if minor is not None else above)
        case ">=":
            return _Bound(low, None)
        case ">":
            return _Bound(low, None, low_open=True) if whole else _Bound(above and (*above[:3], ()), None)
        case "<":
            return _Bound(None, low if whole else (*low[:3], _ZERO))
        case "<=":
            return _Bound(None, low, high_closed=True) if whole else _Bound(None, above)
        case _:
            return _Bound(low, low, high_closed=True) if whole else _Bound(low, above)


def _caret(major: int, minor: int | None, patch: int | None) -> Version:
    """Up to the next change of the left-most number that is not 0."""
    if major or minor is None:
        return (major + 1, 0, 0, _ZERO)
    if minor or patch is None:
        return (0, minor + 1, 0, _ZERO)
    return (0, 0, patch + 1, _ZERO)
