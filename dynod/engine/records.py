"""A fleet as bytes, for the observations' database: what a restarted daemon must know of the dynos that live on."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import msgpack

from dynod.core.fleet import Fleet, Slot
from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.model.dyno import DynoName, DynoState, Exit, dyno_name

_SLOT = tuple(field.name for field in fields(Slot))


class BadRecord(Exception):
    """These bytes are no fleet of this version."""


def encode(fleet: Fleet) -> bytes:
    """Write a fleet; `decode` reads it back equal."""
    dynos = [{**asdict(dyno), "name": str(dyno.name)} for dyno in fleet.dynos.values()]
    slots = [{**asdict(slot), "name": str(name)} for name, slot in fleet.slots.items()]
    return bytes(msgpack.packb({"v": 1, "dynos": dynos, "slots": slots}))


def _dyno(value: Mapping[str, Any]) -> Dyno:
    known = {field.name for field in fields(Dyno)}
    exit_ = value["exit"]
    return Dyno(
        **{
            **{key: each for key, each in value.items() if key in known},
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
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadRecord(f"cannot read a fleet: {error}") from error
    fleet = Fleet({dyno.id: dyno for dyno in dynos}, slots)
    named = [dyno for slot in slots.values() for dyno in (slot.dyno, slot.next) if dyno is not None]
    if not all(dyno in fleet.dynos for dyno in named):
        raise BadRecord("cannot read a fleet: a slot names a dyno that is not there")
    return fleet
