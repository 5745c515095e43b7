"""A fleet survives its journey to the observations' database and back."""

import msgpack
import pytest

from dynod.core.lifecycle import Exited, Launched
from dynod.engine import records
from dynod.model.dyno import Exit
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


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x01", msgpack.packb({"dynos": [{}], "slots": []})])
def test_what_is_no_record_is_refused(data):
    with pytest.raises(records.BadRecord, match="cannot read a fleet"):
        records.decode(data)


def test_a_slot_without_its_dyno_is_refused():
    value = msgpack.unpackb(records.encode(_lived()))
    value["dynos"] = []
    with pytest.raises(records.BadRecord, match="a slot names a dyno"):
        records.decode(msgpack.packb(value))
