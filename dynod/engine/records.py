"""A fleet as bytes, for the observations' database: what a restarted daemon must know of the dynos that live on.

And the eco hours that were used, for the same.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

import msgpack

from dynod.core.fleet import Fleet, Slot
from dynod.core.hours import Awake, Hours
from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit, dyno_name

_SLOT = tuple(field.name for field in fields(Slot))
_FIELDS = {kind: tuple(field.name for field in fields(kind)) for kind in (Dyno, Slot)}
_Value = TypeVar("_Value", Dyno, Slot)


class BadRecord(Exception):
    """These bytes are no fleet of this version."""


class Encoder:
    """One app's. It packs anew only what has changed since its last fleet, so that an event of one dyno costs one dyno's packing."""

    def __init__(self) -> None:
        self._dynos: dict[DynoId, tuple[Dyno, bytes]] = {}
        self._slots: dict[DynoName, tuple[Slot, bytes]] = {}
        self._packer = msgpack.Packer()

    def encode(self, fleet: Fleet) -> bytes:
        """Write a fleet; `decode` reads it back equal."""
        self._dynos = {
            key: self._kept(self._dynos.get(key), dyno, dyno.name) for key, dyno in fleet.dynos.items()
        }
        self._slots = {
            name: self._kept(self._slots.get(name), slot, name) for name, slot in fleet.slots.items()
        }
        pack = self._packer.pack
        return b"".join(
            (
                self._packer.pack_map_header(5),
                *(pack("v"), pack(1), pack("active"), pack(fleet.active), pack("asked"), pack(fleet.asked)),
                *(pack("dynos"), self._packer.pack_array_header(len(self._dynos))),
                *(packed for _, packed in self._dynos.values()),
                *(pack("slots"), self._packer.pack_array_header(len(self._slots))),
                *(packed for _, packed in self._slots.values()),
            )
        )

    def _kept(
        self, known: tuple[_Value, bytes] | None, value: _Value, name: DynoName
    ) -> tuple[_Value, bytes]:
        """Values are frozen: the same one has the same bytes."""
        if known is not None and known[0] is value:
            return known
        row = {field: getattr(value, field) for field in _FIELDS[type(value)]}
        if isinstance(value, Dyno):
            row["exit"] = None if value.exit is None else {"status": value.exit.status}
        return value, self._packer.pack({**row, "name": str(name)})


def encode(fleet: Fleet) -> bytes:
    """Write one fleet; `decode` reads it back equal."""
    return Encoder().encode(fleet)


def _dyno(value: Mapping[str, Any]) -> Dyno:
    exit_ = value["exit"]
    return Dyno(
        **{
            **{key: each for key, each in value.items() if key in _FIELDS[Dyno]},
            "name": dyno_name(value["name"]),
            "kind": Kind(value["kind"]),
            "phase": Phase(value["phase"]),
            "shown": DynoState(value["shown"]),
            "exit": None if exit_ is None else Exit(exit_["status"]),
        }
    )


def decode(data: bytes) -> Fleet:
    """Read what `encode` wrote, by this version or an older one; raise BadRecord."""
    try:
        value = msgpack.unpackb(data)
        dynos = [_dyno(each) for each in value["dynos"]]
        slots: dict[DynoName, Slot] = {
            dyno_name(each["name"]): Slot(**{key: each[key] for key in _SLOT if key in each})
            for each in value["slots"]
        }
        active, asked = float(value.get("active", 0.0)), float(value.get("asked", 0.0))
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadRecord(f"cannot read a fleet: {error}") from error
    fleet = Fleet({dyno.id: dyno for dyno in dynos}, slots, active, asked)
    named = [dyno for slot in slots.values() for dyno in (slot.dyno, slot.next) if dyno is not None]
    if not all(dyno in fleet.dynos for dyno in named):
        raise BadRecord("cannot read a fleet: a slot names a dyno that is not there")
    return fleet


def encode_hours(hours: Hours) -> bytes:
    """Write an account of hours; `decode_hours` reads it back equal."""
    awake = [[dyno, each.app, each.since] for dyno, each in hours.awake.items()]
    return bytes(msgpack.packb([hours.month, dict(hours.used), awake]))


def decode_hours(data: bytes) -> Hours:
    """Read what `encode_hours` wrote; raise BadRecord."""
    try:
        month, used, awake = msgpack.unpackb(data)
        return Hours(
            str(month),
            {AppId(app): float(seconds) for app, seconds in used.items()},
            {DynoId(dyno): Awake(AppId(app), float(since)) for dyno, app, since in awake},
        )
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException) as error:
        raise BadRecord(f"cannot read eco hours: {error}") from error
