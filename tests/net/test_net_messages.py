"""What is said to rtnetlink: each message is as long as it says and framed as the kernel wants it, and every answer is read."""

import errno
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from dynod.net import messages

HEAD = struct.Struct("=IHHII")
OWN, OTHER, MAC, OTHER_MAC = (
    IPv4Address("172.16.0.2"),
    IPv4Address("172.16.0.1"),
    "0a:58:ac:10:00:02",
    "0a:58:ac:10:00:01",
)
OWN6 = IPv6Address("fd64:796e:6f64::2")
BLOCK, BLOCK6 = IPv4Network("172.16.0.0/18"), IPv6Network("fd64:796e:6f64::/48")
ALL = (
    messages.cable("dyno0-1", MAC, 0x64790000, 1500, "eth0", OTHER_MAC, 7),
    messages.up(3),
    messages.into_group(3, 9),
    messages.address(3, OWN, 30),
    messages.neighbour(3, OTHER, OTHER_MAC),
    messages.default_route(3, OTHER),
    messages.address_alone(3, OWN6),
    messages.route(3, OWN6),
    messages.no_groups(3),
    messages.reservation(BLOCK),
    messages.reservation(BLOCK6),
    messages.no_reservation(BLOCK),
    messages.no_group(9),
)


def _attributes(data):
    """Split attributes as the kernel does; a length that does not fit is an error."""
    found = {}
    while data:
        length, kind = struct.unpack_from("=HH", data)
        assert 4 <= length <= len(data)
        found[kind & 0x7FFF] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def test_every_message_says_its_length_and_asks_for_an_answer():
    for message in ALL:
        length, _, flags, _, _ = HEAD.unpack_from(message)
        assert length == len(message)
        assert length % 4 == 0, "the next one begins at a multiple of four"
        assert flags & 0x5 == 0x5


def test_a_cable_names_both_its_ends_and_the_namespace_of_the_other():
    about = _attributes(ALL[0][HEAD.size + 16 :])
    assert about[3] == b"dyno0-1\0"
    info = _attributes(about[18])
    assert info[1] == b"veth\0"
    peer = _attributes(_attributes(info[2])[1][16:])
    assert (peer[3], peer[1].hex(":"), peer[28]) == (b"eth0\0", OTHER_MAC, struct.pack("=I", 7))


def test_an_address_alone_brings_no_route_and_is_usable_at_once():
    said = messages.address_alone(3, OWN6)
    assert struct.unpack_from("=BBBBI", said, HEAD.size) == (10, 128, 0x02, 0, 3)
    own = OWN6.packed
    assert _attributes(said[HEAD.size + 8 :]) == {1: own, 2: own, 8: struct.pack("=I", 0x200 | 0x02)}


def test_a_route_leads_to_one_address_and_the_one_that_goes_is_that_of_all_groups():
    index = struct.pack("=I", 3)
    said = messages.route(3, OWN6)
    assert struct.unpack_from("=BBBBBBBBI", said, HEAD.size) == (10, 128, 0, 0, 254, 3, 0, 1, 0)
    assert _attributes(said[HEAD.size + 12 :]) == {1: OWN6.packed, 4: index}
    gone = messages.no_groups(3)
    assert HEAD.unpack_from(gone)[1] == 25
    assert struct.unpack_from("=BBBBBBBBI", gone, HEAD.size)[:5] == (10, 8, 0, 0, 255)
    assert _attributes(gone[HEAD.size + 12 :]) == {1: IPv6Address("ff00::").packed, 4: index}


def test_answers_are_read_one_by_one_also_when_one_carries_what_was_refused():
    def answer(code, rest=b""):
        body = struct.pack("=i", -code) + rest
        return HEAD.pack(HEAD.size + len(body), 2, 0, 0, 0) + body + bytes(-len(body) % 4)

    other = HEAD.pack(20, 16, 0, 0, 0) + bytes(4)  # news that nobody asked for
    data = answer(0, ALL[1][:16]) + other + answer(errno.EEXIST, ALL[3] + b"x") + answer(0)
    assert list(messages.answers(data)) == [0, errno.EEXIST, 0]
    assert list(messages.answers(b"")) == []


def test_a_reservation_is_an_unreachable_route_that_can_be_told_from_others():
    for network, family in ((BLOCK, 2), (BLOCK6, 10)):
        said = messages.reservation(network)
        route = struct.unpack_from("=BBBBBBBBI", said, HEAD.size)
        assert route == (family, network.prefixlen, 0, 0, 254, messages.PROTOCOL, 0, 7, 0)
        assert _attributes(said[HEAD.size + 12 :]) == {1: network.network_address.packed}
        assert messages.no_reservation(network)[HEAD.size :] == said[HEAD.size :], (
            "what is taken back is what was said"
        )
