"""How a shape is told: objects as dicts of their fields, lists, texts of a pattern, values of a kind. `fault` says where a value is not of one."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any


@dataclass(frozen=True)
class Text:
    """A string that all of `pattern` matches."""

    pattern: str = r"(?s).*"

    def fault(self, value: Any) -> str:
        return "" if isinstance(value, str) and re.fullmatch(self.pattern, value, re.ASCII) else str(self)


@dataclass(frozen=True)
class Kind:
    """A value of one of Python's types, and of no other that passes for it."""

    kinds: tuple[type, ...]

    def fault(self, value: Any) -> str:
        return "" if type(value) in self.kinds else str(self)


@dataclass(frozen=True)
class Moment:
    def fault(self, value: Any) -> str:
        try:
            datetime.strptime(value, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
        except (TypeError, ValueError):
            return "a moment such as 2026-01-31T12:00:00Z"
        return ""


@dataclass(frozen=True)
class OneOf:
    """One of several values, or of several kinds."""

    choices: tuple[Any, ...]

    def fault(self, value: Any) -> str:
        return "" if any(not fault(choice, value) for choice in self.choices) else str(self)


@dataclass(frozen=True)
class Many:
    one: Any

    def fault(self, value: Any) -> str:
        if not isinstance(value, list):
            return "a list"
        return next((f"[{at}]{why}" for at, each in enumerate(value) if (why := fault(self.one, each))), "")


@dataclass(frozen=True)
class Named:
    """An object with names of anybody's choosing."""

    one: Any

    def fault(self, value: Any) -> str:
        if not isinstance(value, dict):
            return "an object"
        return next((f".{key}{why}" for key, each in value.items() if (why := fault(self.one, each))), "")


def fault(shape: Any, value: Any) -> str:
    """Say where and how a value is not of a shape; '' where it is."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f": {value!r:.200} is no object"
        missing, more = sorted(shape.keys() - value.keys()), sorted(value.keys() - shape.keys())
        if missing or more:
            return f": lacks {missing}, has {more} more"
        return next((f".{key}{why}" for key, each in shape.items() if (why := fault(each, value[key]))), "")
    if isinstance(shape, Many | Named):
        why = shape.fault(value)
        return why if why[:1] in {"", ".", "["} else f": {value!r:.200} is not {why}"
    if hasattr(shape, "fault"):
        why = shape.fault(value)
        return why and f": {value!r:.200} is not {why}"
    same = type(value) is type(shape) and value == shape
    return "" if same else f": {value!r:.200} is not {shape!r}"


@dataclass(frozen=True)
class AtLeast:
    """An object that may have more fields than these."""

    shape: dict[str, Any]

    def fault(self, value: Any) -> str:
        known = {key: value[key] for key in self.shape if key in value} if isinstance(value, dict) else value
        return fault(self.shape, known)


def maybe(shape: Any) -> OneOf:
    return OneOf((None, shape))
