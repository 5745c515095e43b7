"""Reading a request's body: typed fields, and refusals (422) that name the field. Unknown fields are let pass."""

from collections.abc import Mapping, Sequence
from typing import Any

from dynod.model.refused import Refusal, Refused

_WORDS = {str: "a string", bool: "true or false", int: "a whole number", dict: "an object", list: "an array"}


def _wrong(field: str, wanted: str) -> Refused:
    return Refused(Refusal.INVALID, f"cannot take the field {field!r} as it is: it must be {wanted}")


def _missing(field: str) -> Refused:
    return Refused(Refusal.INVALID, f"cannot do this without the field {field!r}")


def mapping(body: Any, field: str = "body") -> Mapping[str, Any]:
    """Take an object with string keys; nothing at all counts as an empty one."""
    if body is None:
        return {}
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise _wrong(field, "an object")
    return body


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _optional(body: Mapping[str, Any], field: str, kind: type) -> Any:
    value = body.get(field)
    if value is not None and not _is(value, kind):
        raise _wrong(field, _WORDS[kind])
    return value


def text(body: Mapping[str, Any], field: str) -> str:
    """Take a string that must be there and hold something."""
    value = optional_text(body, field)
    if not value:
        raise _missing(field)
    return value


def optional_text(body: Mapping[str, Any], field: str) -> str | None:
    value: str | None = _optional(body, field, str)
    return value


def optional_flag(body: Mapping[str, Any], field: str) -> bool | None:
    value: bool | None = _optional(body, field, bool)
    return value


def flag(body: Mapping[str, Any], field: str) -> bool:
    """Take a boolean that must be there."""
    value = optional_flag(body, field)
    if value is None:
        raise _missing(field)
    return value


def number(body: Mapping[str, Any], field: str, low: int, high: int) -> int | None:
    """Take a whole number within bounds, or nothing."""
    value: int | None = _optional(body, field, int)
    if value is not None and not low <= value <= high:
        raise _wrong(field, f"between {low} and {high}")
    return value


def items(body: Mapping[str, Any], field: str) -> Sequence[Any]:
    """Take an array that must be there."""
    value: Sequence[Any] | None = _optional(body, field, list)
    if value is None:
        raise _missing(field)
    return value


def child(body: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """Take an object inside the body; an absent one is empty."""
    return mapping(body.get(field), field)


def identity(body: Mapping[str, Any], field: str) -> str | None:
    """Take a thing by its name or id: `"cedar"`, `{"name": "cedar"}` or `{"id": "..."}`."""
    value = body.get(field)
    if isinstance(value, dict):
        named = mapping(value, field)
        return optional_text(named, "name") or optional_text(named, "id")
    return optional_text(body, field)


def environment(value: Any, field: str) -> dict[str, str]:
    """Take what becomes environment variables: strings and numbers, and no NUL, which no environment can hold."""
    return {key: one for key, one in changes(value, field, numbers=True).items() if one is not None}


def changes(value: Any, field: str, *, numbers: bool = False) -> dict[str, str | None]:
    """Take a map of strings, null for taking away."""
    found: dict[str, str | None] = {}
    for key, one in mapping(value, field).items():
        if numbers and _is(one, int):
            found[key] = str(one)
        elif one is None or isinstance(one, str):
            found[key] = one
        else:
            raise _wrong(key, "a string")
        if "\0" in key or "\0" in (found[key] or "") or not key or "=" in key:
            raise Refused(
                Refusal.INVALID,
                f"cannot put {key!r} into an environment: names are not empty and hold no '=', and neither names nor values a NUL",
            )
    return found
