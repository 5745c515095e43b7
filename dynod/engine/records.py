"""A fleet as bytes, for the observations' database: what a restarted daemon must know of the dynos that live on."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import msgpack

from dynod.core.fleet import Fleet, Slot
from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit, dyno_name


class BadRecord(Exception):
    """These bytes are no fleet of this version."""


def encode(fleet: Fleet) -> bytes:
    """Write a fleet; `decode` reads it back equal."""
    dynos = [{**asdict(dyno), "name": str(dyno.name)} for dyno in fleet.dynos.values()]
    slots = [[str(name), slot.dyno, slot.crashes, slot.retry] for name, slot in fleet.slots.items()]
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
            dyno_name(name): Slot(DynoId(dyno), crashes, retry)
            for name, dyno, crashes, retry in value["slots"]
        }
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise BadRecord(f"cannot read a fleet: {error}") from error
    fleet = Fleet({dyno.id: dyno for dyno in dynos}, slots)
    if not all(slot.dyno in fleet.dynos for slot in slots.values()):
        raise BadRecord("cannot read a fleet: a slot names a dyno that is not there")
    return fleet
