"""Dynos ask the machine's name servers, whichever protocol these have: what the firewall lets through of it."""

import socket

import pytest
from linux.test_net_wiring import ask, start
from support.netlab import LONG, connects, inside, lab

from dynod.net.addresses import Block
from dynod.net.firewall import script

pytestmark = pytest.mark.linux("nft", "ip", "nsenter")
METADATA = "fd00:ec2::254"  # of the lab's internet; Amazon's resolver is fd00:ec2::253


def names(place):
    """Be a name server there."""

    def body():
        listener = socket.socket(socket.AF_INET6)
        listener.bind((METADATA, 53))
        listener.listen(16)
        return listener

    return inside(place.internet, body)


def test_a_resolver_by_ipv6_is_reached_though_it_stands_among_metadata():
    with lab() as place:
        place.ipv6()
        run, _ = start(place)
        (a,) = ask(run, ("take", "a"))
        beside, _ = place.listen(place.internet, METADATA)
        with names(place):
            assert not connects(a.netns, (METADATA, 53))
            place.nft("-f", "-", given=script(Block(0), [METADATA], ipv6=True))
            assert connects(a.netns, (METADATA, 53), LONG)
            assert not connects(a.netns, (METADATA, beside))
