"""A fleet survives its journey to the observations' database and back."""

from dataclasses import replace

import msgpack
import pytest

from dynod.core.events import Exited, Launched
from dynod.core.hours import Awake, Hours
from dynod.engine import records
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, Exit
from tests.core.test_reconcile import World


def _lived():
    world = World(web=2, worker=1).reconcile().up("d1").tell("d2", Launched("172.16.0.6"))
    return world.tell("d3", Launched("172.16.0.9")).tell("d3", Exited(Exit(1))).fleet


def test_a_fleet_reads_back_equal():
    fleet = _lived()
    assert records.decode(records.encode(fleet)) == fleet


def test_a_record_of_a_newer_version_with_more_fields_is_read():
    value = msgpack.unpackb(records.encode(_lived()))
    for dyno in value["dynos"]:
        dyno["from_the_future"] = 1
    assert records.decode(msgpack.packb(value)) == _lived()


def test_when_it_had_its_last_request_is_kept():
    fleet = replace(_lived(), active=123.5, asked=456.5)
    assert records.decode(records.encode(fleet)) == fleet


def test_an_account_of_hours_reads_back_equal():
    hours = Hours("2026-11", {AppId("a1"): 7.5}, {DynoId("d1"): Awake(AppId("a2"), 1e9)})
    assert records.decode_hours(records.encode_hours(hours)) == hours


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", msgpack.packb([]), msgpack.packb(["m", 1, []]), msgpack.packb(["m", {}, [["d"]]])]
)
def test_what_is_no_account_is_refused(data):
    with pytest.raises(records.BadRecord, match="cannot read eco hours"):
        records.decode_hours(data)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x01", msgpack.packb({"dynos": [{}], "slots": []})])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(records.BadRecord, match="cannot read a fleet"):
        records.decode(data)


def test_a_slot_without_its_dyno_is_refused():
    value = msgpack.unpackb(records.encode(_lived()))
    value["dynos"] = []
    with pytest.raises(records.BadRecord, match="a slot names a dyno"):
        records.decode(msgpack.packb(value))


def test_an_encoder_that_knows_the_last_fleet_writes_the_same_as_a_new_one():
    """It packs only what has changed; nothing of an older fleet may be left in it."""
    world, encoder = World(web=3, worker=1).reconcile(), records.Encoder()

    def scale():
        world.desired = world.release("r1", 1, web=1)
        world.reconcile()

    steps = (
        lambda: world.up("d1").tell("d2", Launched("172.16.0.6")),
        lambda: world.tell("d2", Exited(Exit(1))),
        scale,
        lambda: world.tell("d1", Exited(Exit(0))),
    )
    for step in steps:
        step()
        assert encoder.encode(world.fleet) == records.encode(world.fleet)
        assert records.decode(encoder.encode(world.fleet)) == world.fleet
