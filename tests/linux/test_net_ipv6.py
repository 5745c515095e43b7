"""IPv6 of dynos on a real kernel: there where the machine has a way out by it, with the same walls; else there is none."""

import socket
from pathlib import Path

import pytest
from linux.test_net_wiring import ask, start
from support.netlab import FORWARD6, LONG, SHORT, connects, inside, lab

from dynod.model.settings import Endpoint

pytestmark = pytest.mark.linux("nft", "ip", "nsenter")
INTERNET, MACHINE, METADATA = "2001:db8:5::2", "2001:db8:5::1", "fd00:ec2::254"
MACHINE4 = "198.51.100.1"
OWN = "fd64:796e:6f64::"


@pytest.fixture
def place():
    with lab() as made:
        yield made


def setting(place, path):
    inside(place.machine, lambda: Path(path).write_text("1"))


def addresses(namespace):
    """Interface and address of all IPv6 in there."""

    def look():
        with open("/proc/thread-self/net/if_inet6") as file:
            rows = [line.split() for line in file]
        return {(row[5], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0]))) for row in rows}

    return inside(namespace, look)


def test_a_dyno_reaches_the_internet_by_ipv6_under_the_machine_s_address(place):
    place.ipv6()
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    port, listener = place.listen(place.internet, "::")
    assert connects(a.netns, (INTERNET, port), LONG)
    accepted, (source, *_) = listener.accept()
    accepted.close()
    assert source == MACHINE
    assert addresses(a.netns) == {("lo", "::1"), ("eth0", f"{OWN}2")}
    assert a.address6 == f"{OWN}2"
    assert {each for each in addresses(place.machine) if each[0].startswith("dyno0-0")} == {
        ("dyno0-0", f"{OWN}1")
    }


def test_a_dyno_adds_two_routes_to_the_machine_s_which_every_other_passes_when_it_comes(place):
    place.ipv6()
    run, _ = start(place)
    ask(run, ("take", "a"), ("take", "b"))

    def look():
        with open("/proc/thread-self/net/ipv6_route") as file:
            rows = [line.split() for line in file]
        return {(row[9], socket.inet_ntop(socket.AF_INET6, bytes.fromhex(row[0])), row[1]) for row in rows}

    assert {each for each in inside(place.machine, look) if each[0] in {"dyno0-0", "dyno0-1"}} == {
        ("dyno0-0", f"{OWN}2", "80"),
        ("dyno0-1", f"{OWN}6", "80"),
        ("dyno0-0", f"{OWN}1", "80"),  # the machine's own end
        ("dyno0-1", f"{OWN}5", "80"),
    }


def test_a_dyno_reaches_nobody_else_by_ipv6(place):
    place.ipv6()
    run, _ = start(place)
    a, b = ask(run, ("take", "a"), ("take", "b"))
    port, _ = place.listen(place.machine, "::")
    theirs, _ = place.listen(b.netns, "::")
    metadata, _ = place.listen(place.internet, METADATA)
    reached = {
        (MACHINE, port): place.machine,
        (f"{OWN}1", port): place.machine,
        (f"{OWN}5", port): place.machine,
        (f"{OWN}6", theirs): place.machine,
        (METADATA, metadata): place.machine,
    }
    for address, other in reached.items():
        assert connects(other, address, LONG), address
        assert not connects(a.netns, address), address
    assert not connects(a.netns, ("::1", port))


def test_nobody_outside_reaches_a_dyno_by_ipv6(place):
    place.ipv6()
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    port, _ = place.listen(a.netns, "::")
    place.ip(place.internet, "-6", "route", "add", f"{OWN}/48", "via", MACHINE)
    assert connects(place.machine, (f"{OWN}2", port), LONG)
    assert not connects(place.internet, (f"{OWN}2", port))


def test_a_foreign_source_address_is_dropped(place):
    place.ipv6()
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    place.ip(a.netns, "-6", "addr", "add", "2001:db8:9::9/128", "dev", "eth0", "nodad")
    port, _ = place.listen(place.internet, "::")
    place.ip(place.internet, "-6", "route", "add", "2001:db8:9::/64", "via", MACHINE)
    assert connects(a.netns, (INTERNET, port), LONG, source=f"{OWN}2")
    assert not connects(a.netns, (INTERNET, port), source="2001:db8:9::9")


@pytest.mark.parametrize("way_out", [True, False], ids=["no IPv6 at all", "addresses and no way out"])
def test_where_the_machine_has_no_way_out_a_dyno_has_no_ipv6_and_no_door(place, way_out):
    if way_out:
        setting(place, FORWARD6.replace("forwarding", "disable_ipv6"))
    else:
        place.ipv6(way_out=False)
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    assert addresses(a.netns) == {("lo", "::1")}
    assert a.address6 == ""
    assert not [name for name, _ in addresses(place.machine) if name.startswith("dyno")]
    assert place.forwarding(FORWARD6) == "0"
    (stat,) = ask(run, ("stat",))
    assert stat["network6"] is None
    assert "IPv6" in stat["why_no_ipv6"]
    if not way_out:
        port, _ = place.listen(place.machine, "::")
        assert not connects(a.netns, (MACHINE, port))


def test_forwarding_is_put_back_and_nothing_stays(place):
    place.ipv6()
    interfaces, tables, routes = place.interfaces(), place.nft("list", "ruleset"), place.routes()
    run, helper = start(place, "--warm", "2")
    ask(run, ("take", "a"))
    assert place.forwarding(FORWARD6) == "1"
    assert helper.end() == 0
    helper = place.helper(run, "--end")
    (a,) = ask(run, ("take", "a"))
    assert a.address6 == f"{OWN}2"
    assert helper.end() == 0
    assert (place.interfaces(), place.nft("list", "ruleset"), place.routes()) == (interfaces, tables, routes)
    assert place.forwarding(FORWARD6) == "0"


def test_forwarding_that_was_on_stays_on(place):
    place.ipv6()
    setting(place, FORWARD6)
    _, helper = start(place, "--end")
    helper.end()
    assert place.forwarding(FORWARD6) == "1"


def test_a_machine_that_lives_by_advertisements_is_left_as_it_is_and_told_what_to_set(place):
    place.ipv6(way_out=False)
    place.ip(place.machine, "-6", "route", "add", "default", "via", INTERNET, "proto", "ra")
    run, _ = start(place)
    (stat,) = ask(run, ("stat",))
    assert "sysctl -w net.ipv6.conf.up0.accept_ra=2" in stat["why_no_ipv6"]
    assert place.forwarding(FORWARD6) == "0"


def test_what_others_filter_is_as_it_was_while_we_are_there_and_after(place):
    """One table of ours: beside it the rule set is the same byte for byte, whatever we do."""
    place.ipv6()
    for family, table in (("inet", "others"), ("ip", "nat"), ("ip6", "mangle")):
        place.forward_chain(family, table, "accept")
    before = place.nft("list", "ruleset")
    run, helper = start(place, "--warm", "2")
    ask(run, ("take", "a"), ("take", "b"), ("give", "a"))

    def foreign():
        ours = place.nft("list", "table", "inet", "dynod_0")
        everything = place.nft("list", "ruleset")
        assert ours in everything
        return everything.replace(ours, "")

    assert foreign() == before
    helper.end()
    assert foreign() == before
    helper = place.helper(run)
    assert foreign() == before
    helper.end()
    assert place.helper(run, "--end").end() == 0
    assert place.nft("list", "ruleset") == before


def test_dynos_reach_the_router_and_nothing_else_of_the_machine(place):
    """By either protocol, at any address of the machine, and through a restart of the helper."""
    place.ipv6()
    run, helper = start(place)
    (a,) = ask(run, ("take", "a"))
    router, _ = place.listen(place.machine)
    router6, _ = place.listen(place.machine, "::")
    other, _ = place.listen(place.machine)
    other6, _ = place.listen(place.machine, "::")
    loopback, _ = place.listen(place.machine, "127.0.0.1")
    public = [(MACHINE4, router), (a.gateway, router), (MACHINE, router6), (f"{OWN}1", router6)]
    shut = [
        (MACHINE4, other),
        (MACHINE, other6),
        ("127.0.0.1", loopback),
        ("127.0.0.1", router),
        (MACHINE4, router6),
    ]

    def opened(wanted):
        for address in public:
            assert connects(a.netns, address, LONG if wanted else SHORT) is wanted, address
        for address in shut:
            assert not connects(a.netns, address), address

    opened(False)
    ask(
        run,
        ("routers", (Endpoint("0.0.0.0", router), Endpoint("::", router6), Endpoint("127.0.0.1", loopback))),
    )
    opened(True)
    helper.end()
    place.helper(run)
    opened(True)
    ask(run, ("routers", ()))
    opened(False)


def test_a_router_at_one_address_is_reached_there_alone(place):
    run, _ = start(place)
    (a,) = ask(run, ("take", "a"))
    router, _ = place.listen(place.machine)
    ask(run, ("routers", (Endpoint(MACHINE4, router),)))
    assert connects(a.netns, (MACHINE4, router), LONG)
    assert not connects(a.netns, (a.gateway, router))
