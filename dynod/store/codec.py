"""Values to bytes and back: payloads of entries and whole ledgers, by the fields of their dataclasses.

A payload is `[FORM, {field: value}]` in JSON, beside its kind, the class's name: it can be read with eyes and with a
program of another decade. A field that is missing takes its default; a field or kind that is not known means that a newer
dynod wrote it, and is an error, never dropped. Heroku's sizes are stored by name, so that a table that is mended mends old entries;
sizes of dynod.toml with all their fields, so that one that was taken out of it is still what it was for who has it.
"""

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from dynod.core.ledger import MEANING, Ledger
from dynod.model.entry import Payload
from dynod.model.formation import HEROKUS, SIZES, DynoSize, dyno_size
from dynod.model.refused import Refused
from dynod.store.protocol import Unreadable

FORM = 1  # of the JSON, not of the classes: those grow by fields with defaults
KINDS: dict[str, type[Payload]] = {kind.__name__: kind for kind in get_args(Payload)}

Turn = Callable[[Any], Any]  # one value into another


def encode(payload: Payload) -> tuple[str, bytes]:
    """Return the payload's kind and its bytes."""
    return type(payload).__name__, _dump([FORM, _written(payload)])


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
    return zlib.compress(_dump(_written(ledger)), 1)


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
    # As json.loads does.
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


def _written(value: Payload | Ledger) -> object:
    hint: Any = type(value)
    write = _writer(hint)
    assert write is not None
    return write(value)


@cache
def _writer(hint: Any) -> Turn | None:
    """Make, once per type, the function that turns a value into plain JSON; None where it is JSON already."""
    hint = getattr(hint, "__supertype__", hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        (some,) = (each for each in inner if each is not NoneType)
        write = _writer(some)
        return _optional(write) if write else None
    if origin is tuple:
        write = _writer(inner[0])
        return _list(write) if write else None
    if origin is not None:  # Mapping: what else values are made of
        write = _writer(inner[1])
        return _items(write) if write else dict
    if hint is DynoSize:
        return _written_size
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        writers = [(field.name, _writer(hints[field.name])) for field in fields(hint)]
        return lambda value: {
            name: write(getattr(value, name)) if write else getattr(value, name) for name, write in writers
        }
    return None


@cache
def _reader(hint: Any) -> Turn:
    """Make, once per type, the function that turns plain JSON into a value of that type."""
    hint = getattr(hint, "__supertype__", hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _optional(_reader(next(each for each in inner if each is not NoneType)))
    if origin is tuple:
        each = _list(_reader(inner[0]))
        return lambda value: tuple(each(_expect(list, value)))
    if origin is not None:  # Mapping: what else values are made of
        item = _texts if inner[1] is str else _items(_reader(inner[1]))
        return lambda value: item(_expect(dict, value))
    if hint is DynoSize:
        return _size
    if is_dataclass(hint):
        return _record(hint)
    if issubclass(hint, StrEnum):
        member: Turn = hint
        return member
    if hint is float:
        return lambda value: float(_expect((int, float), value))
    return lambda value: _expect(hint, value)


def _optional(turn: Turn) -> Turn:
    return lambda value: None if value is None else turn(value)


def _list(turn: Turn) -> Turn:
    return lambda value: [turn(each) for each in value]


def _items(turn: Turn) -> Turn:
    """Keys are text, whatever they are called."""
    return lambda value: {key: turn(each) for key, each in value.items()}


def _texts(found: dict[str, Any]) -> dict[str, str]:
    """Config maps are most of every ledger, so they are looked through without a call for each value."""
    if not {str}.issuperset(map(type, found.values())):
        raise TypeError(f"expected text, found {sorted({type(each).__name__ for each in found.values()})}")
    return found


def _record(kind: Any) -> Turn:
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


def _written_size(size: DynoSize) -> Any:
    if size.name.lower() in HEROKUS:
        return size.name
    return {field.name: getattr(size, field.name) for field in fields(size)}


def _size(value: Any) -> DynoSize:
    if isinstance(value, dict):
        size: DynoSize = _record(DynoSize)(value)
        return SIZES.get(size.name.lower(), size)
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
