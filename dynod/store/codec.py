"""Values to bytes and back: payloads of entries and whole ledgers, by the fields of their dataclasses.

A payload is `[FORM, {field: value}]` in JSON, beside its kind, the class's name: it can be read with eyes and with a
program of another decade. A field that is missing takes its default; a field or kind that is not known means that a newer
dynod wrote it, and is an error, never dropped. Sizes are stored by name, so that a table that is mended mends old entries.
"""

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from dynod.core.ledger import MEANING, Ledger
from dynod.model.entry import Payload
from dynod.model.formation import DynoSize, dyno_size
from dynod.model.refused import Refused
from dynod.store.protocol import Unreadable

FORM = 1  # of the JSON, not of the classes: those grow by fields with defaults
KINDS: dict[str, type[Payload]] = {kind.__name__: kind for kind in get_args(Payload)}

Reader = Callable[[Any], Any]


def encode(payload: Payload) -> tuple[str, bytes]:
    """Return the payload's kind and its bytes."""
    return type(payload).__name__, _dump([FORM, _plain(payload)])


def decode(kind: str, data: bytes) -> Payload:
    """Read what `encode` wrote; raise Unreadable."""
    if kind not in KINDS:
        raise Unreadable(
            f"cannot read an entry of kind {kind!r}: it is not known here; a newer dynod wrote it"
        )
    try:
        form, value = json.loads(data)
        if form != FORM:
            raise Unreadable(f"cannot read an entry of kind {kind} in form {form}: a newer dynod wrote it")
        hint: Any = KINDS[kind]
        payload: Payload = _reader(hint)(value)
    except (ValueError, TypeError) as error:
        raise Unreadable(f"cannot read an entry of kind {kind}: {error}") from error
    return payload


def encode_ledger(ledger: Ledger) -> bytes:
    return zlib.compress(_dump(_plain(ledger)), 1)


def decode_ledger(data: bytes) -> Ledger:
    """Read what `encode_ledger` wrote under the same `ledger_shape`; raise Unreadable."""
    try:
        ledger: Ledger = _reader(Ledger)(json.loads(zlib.decompress(data)))
    except (ValueError, TypeError, zlib.error) as error:
        raise Unreadable(f"cannot read a snapshot of the ledger: {error}") from error
    return ledger


@cache
def ledger_shape() -> str:
    """Name what a stored ledger looks like: another shape is not read but folded anew from the entries."""
    return f"{FORM}.{MEANING}.{hashlib.sha256(_shape(Ledger).encode()).hexdigest()[:16]}"


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(
        errors="surrogatepass"
    )  # as json.loads does


def _plain(value: Any) -> Any:
    if isinstance(value, DynoSize):
        return value.name
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    return value


@cache
def _reader(hint: Any) -> Reader:
    """Make, once per type, the function that turns plain JSON into a value of that type."""
    hint = getattr(hint, "__supertype__", hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(_reader(next(each for each in inner if each is not NoneType)))
    if origin is tuple:
        each = _reader(inner[0])
        return lambda value: tuple(each(item) for item in _expect(list, value))
    if origin is not None:  # Mapping: what else values are made of
        key, item = _reader(inner[0]), _reader(inner[1])
        return lambda value: {key(name): item(each) for name, each in _expect(dict, value).items()}
    if hint is DynoSize:
        return _size
    if is_dataclass(hint):
        return _record(hint)
    if issubclass(hint, StrEnum):
        member: Reader = hint
        return member
    if hint is float:
        return lambda value: float(_expect((int, float), value))
    return lambda value: _expect(hint, value)


def _optional(reader: Reader) -> Reader:
    return lambda value: None if value is None else reader(value)


def _record(kind: Any) -> Reader:
    hints = get_type_hints(kind)
    readers = {field.name: _reader(hints[field.name]) for field in fields(kind)}
    needed = {
        field.name for field in fields(kind) if field.default is MISSING and field.default_factory is MISSING
    }

    def read(value: Any) -> Any:
        found = _expect(dict, value)
        if missing := needed - found.keys():
            raise ValueError(f"{kind.__name__} lacks {', '.join(sorted(missing))}")
        if unknown := found.keys() - readers.keys():
            raise ValueError(f"{kind.__name__} has {', '.join(sorted(unknown))}: a newer dynod wrote it")
        return kind(**{name: readers[name](each) for name, each in found.items()})

    return read


def _size(value: Any) -> DynoSize:
    try:
        return dyno_size(_expect(str, value))
    except Refused as refused:
        raise ValueError(refused.message) from refused


def _expect(kind: Any, value: Any) -> Any:
    """A bool is no number here, although Python says so."""
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"expected {kind}, found {type(value).__name__}")
    return value


def _shape(hint: Any) -> str:
    """Spell a type out, down to the fields."""
    hint = getattr(hint, "__supertype__", hint)
    if inner := get_args(hint):
        return f"{get_origin(hint)}[{','.join(_shape(each) for each in inner)}]"
    if hint is DynoSize or not is_dataclass(hint):
        return str(hint)
    hints = get_type_hints(hint)
    return f"{hint}({','.join(f'{field.name}:{_shape(hints[field.name])}' for field in fields(hint))})"
