"""The address plan: blocks and slots are disjoint, names fit, and nothing of the machine's is ever chosen."""

from ipaddress import IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.net.addresses import BLOCKS, INTERFACE_LIMIT, RANGE, SLOTS, Block, free_blocks


def test_blocks_fill_the_range_and_do_not_overlap():
    networks = [Block(number).network for number in range(BLOCKS)]
    assert sum(network.num_addresses for network in networks) == RANGE.num_addresses
    assert len(set(networks)) == BLOCKS
    assert all(network.subnet_of(RANGE) for network in networks)


def test_slots_are_networks_of_four_addresses_inside_their_block():
    slots = [Block(5).slot(number) for number in range(SLOTS)]
    nets = {IPv4Network(f"{slot.address}/30", strict=False) for slot in slots}
    assert len(nets) == SLOTS
    assert all(slot.gateway in IPv4Network(f"{slot.address}/30", strict=False) for slot in slots)
    assert all(net.subnet_of(Block(5).network) for net in nets)
    assert (str(slots[0].gateway), str(slots[0].address)) == ("172.17.64.1", "172.17.64.2")


def test_names_fit_and_no_prefix_begins_another():
    longest = Block(BLOCKS - 1).slot(SLOTS - 1).interface
    assert len(longest) <= INTERFACE_LIMIT
    prefixes = [Block(number).prefix for number in range(BLOCKS)]
    assert not [(a, b) for a in prefixes for b in prefixes if a != b and a.startswith(b)]


def test_link_groups_are_distinct():
    groups = [group for number in range(BLOCKS) for group in (Block(number).group, Block(number).dead_group)]
    assert len(set(groups)) == 2 * BLOCKS


@pytest.mark.parametrize("number", [-1, SLOTS])
def test_a_slot_outside_the_block_is_a_bug(number):
    with pytest.raises(ValueError, match="no slot"):
        Block(0).slot(number)


def test_macs_are_local_unicast_and_differ_at_both_ends():
    slot = Block(0).slot(0)
    assert slot.mac == "0a:58:ac:10:00:02"
    assert slot.mac != slot.gateway_mac


def test_docker_s_networks_are_avoided():
    docker = [IPv4Network(f"172.{second}.0.0/16") for second in (17, 18, 19)]
    assert str(next(free_blocks(docker, [])).network) == "172.16.0.0/18"
    assert str(next(free_blocks([*docker, IPv4Network("172.16.0.0/16")], [])).network) == "172.30.0.0/18"


def test_a_block_with_leftover_interfaces_is_not_free():
    assert next(free_blocks([], ["lo", "dyno0-17", "dyno2-1"])).number == 1


def test_a_route_over_the_whole_range_leaves_nothing():
    assert list(free_blocks([IPv4Network("172.0.0.0/8")], [])) == []


networks = st.builds(
    lambda address, prefix: IPv4Network((address, prefix), strict=False),
    st.integers(int(RANGE.network_address) - 2**16, int(RANGE.broadcast_address) + 2**16),
    st.integers(9, 32),
)


@given(st.lists(networks, max_size=30))
def test_whatever_the_machine_has_nothing_of_it_is_chosen(busy):
    """And every block that overlaps nothing is offered."""
    chosen = list(free_blocks(busy, []))
    assert not [block for block in chosen if any(block.network.overlaps(network) for network in busy)]
    naive = [n for n in range(BLOCKS) if not any(Block(n).network.overlaps(network) for network in busy)]
    assert sorted(block.number for block in chosen) == naive
