"""When dynos have IPv6, and what is said when not."""

import pytest

from dynod.net.ipv6 import Machine, Way, why_not

ETH0 = Way("eth0", 1, advertised=False)
LENT = Way("eth0", 1, advertised=True)
LISTENS = Way("eth0", 2, advertised=True)
BY_A_DAEMON = Way("eth0", 0, advertised=True)  # NetworkManager and systemd-networkd listen themselves


@pytest.mark.parametrize(
    ("machine", "why"),
    [
        (Machine(there=False, forwards=False), "this machine has no IPv6"),
        (Machine(there=True, forwards=True), "no way out by IPv6"),
        (Machine(there=True, forwards=False, ways=(ETH0,)), ""),
        (Machine(there=True, forwards=True, ways=(LENT,)), ""),
        (Machine(there=True, forwards=False, ways=(ETH0, LENT)), "net.ipv6.conf.eth0.accept_ra=2"),
        (Machine(there=True, forwards=False, ways=(LISTENS,)), ""),
        (Machine(there=True, forwards=False, ways=(BY_A_DAEMON,)), ""),
        (
            Machine(there=True, forwards=False, ways=(ETH0,), routers=("br0",)),
            "forwarding is set for br0 alone",
        ),
        (Machine(there=True, forwards=True, ways=(ETH0,), routers=("br0",)), ""),
    ],
)
def test_ipv6_is_there_where_it_takes_nothing_from_the_machine(machine, why):
    assert why in why_not(machine)
    assert bool(why) is bool(why_not(machine))
