"""Lines on the disk, pure: length, CRC-32 and MessagePack, one behind the other. A tail that was torn off is found and left out."""

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgpack

_HEAD = struct.Struct("<II")
LONGEST = 256 * 1024  # a record is one line of at most 10,000 bytes, or the marks of one app


class NotARecord(ValueError):
    """Whole and unharmed, and yet nothing this program writes."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of an app. `origin` and `offset`: who brought it (a dyno's id, a writer) and how far that one had come with it."""

    at: int
    source: str
    process: str
    text: str
    origin: str = ""
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Marks:
    """First record of a segment: how far each origin had come in all segments before, and the last time a dyno's line was given."""

    at: int
    offsets: Mapping[str, int]


def encode(record: Record | Marks) -> bytes:
    """Write one record."""
    if isinstance(record, Marks):
        body: list[Any] = [record.at, dict(record.offsets)]
    else:
        body = [record.at, record.source, record.process, record.text, record.origin, record.offset]
    data: bytes = msgpack.packb(body)
    return _HEAD.pack(len(data), zlib.crc32(data)) + data


def scan(data: bytes) -> tuple[list[Record | Marks], int]:
    """Return the whole records from the start of `data`, and how many bytes they take. What follows is torn."""
    records: list[Record | Marks] = []
    good = 0
    while good + _HEAD.size <= len(data):
        length, crc = _HEAD.unpack_from(data, good)
        body = data[good + _HEAD.size : good + _HEAD.size + length]
        if length > LONGEST or len(body) < length or zlib.crc32(body) != crc:
            break
        try:
            records.append(_record(msgpack.unpackb(body)))
        except ValueError:
            break  # eight zeros, as a power cut may leave them, are a good checksum of nothing
        good += _HEAD.size + length
    return records, good


def _record(body: Any) -> Record | Marks:
    match body:
        case [int(at), str(source), str(process), str(text), str(origin), int(offset)]:
            return Record(at, source, process, text, origin, offset)
        case [int(at), dict(offsets)]:
            return Marks(at, offsets)
        case _:
            raise NotARecord(f"not a record: {str(body)[:80]}")
