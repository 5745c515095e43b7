"""The table as text, and whose chains stand in the way."""

import pytest

from dynod.model.refused import Refused
from dynod.net.addresses import Block
from dynod.net.firewall import foreign_drops, script
from dynod.net.routers import read


def test_the_table_speaks_of_its_own_block_only():
    text = script(Block(17), ["10.0.0.53"])
    assert text.startswith("table inet dynod_17\ndelete table inet dynod_17\ntable inet dynod_17 {")
    assert 'iifname != "dyno17-*"' in text
    assert str(Block(17).network) in text
    assert "ip_forward" not in text


def test_without_a_resolver_nothing_is_let_through_for_it():
    assert "dport 53" not in script(Block(0), [])


def test_resolvers_are_asked_by_the_protocol_that_they_have():
    text = script(Block(0), ["10.0.0.53", "2001:db8::53", "10.0.0.54"], ipv6=True)
    question = "meta l4proto { tcp, udp } th dport 53 accept"
    assert text.count(f"        ip daddr {{ 10.0.0.53, 10.0.0.54 }} {question}\n") == 2
    assert text.count(f"        ip6 daddr {{ 2001:db8::53 }} {question}\n") == 2


def test_the_mark_is_a_chain():
    assert "chain ip_forward_was_off {" in script(Block(0), [], marks=["ip_forward_was_off"])


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("0.0.0.0", "meta nfproto ipv4 fib daddr type local tcp dport 80 accept"),
        ("::", "\n        fib daddr type local tcp dport 80 accept"),
        ("192.0.2.1", "ip daddr 192.0.2.1 tcp dport 80 accept"),
        ("2001:db8::1", "ip6 daddr 2001:db8::1 tcp dport 80 accept"),
    ],
)
def test_the_router_s_ports_are_open_in_both_chains_that_shut_the_machine(host, rule):
    text = script(Block(0), [], routers=read([[host, 80]]))
    assert text.count(rule) == 2
    assert text.index(rule) < text.index("any address of this machine")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_router_that_is_not_public_is_no_door(host):
    assert script(Block(0), [], routers=read([[host, 80]])) == script(Block(0), [])


@pytest.mark.parametrize(
    "said", [None, 5, [["x", 80]], [["::", 0]], [["::", 70_000]], [["::"]], [["::", 1]] * 17]
)
def test_nonsense_opens_nothing(said):
    with pytest.raises(Refused):
        read(said)


def chain(**more):
    return {"family": "ip", "table": "filter", "name": "FORWARD", "hook": "forward", "policy": "drop", **more}


def test_a_forward_chain_that_drops_by_policy_is_named_with_the_way_out():
    (obstacle,) = foreign_drops([chain()])
    assert "chain FORWARD of table ip filter drops forwarded packets by policy" in str(obstacle)
    assert "DOCKER-USER -i dyno+" in str(obstacle)


def test_chains_that_accept_hook_elsewhere_or_see_no_ipv4_are_no_obstacle():
    others = [
        chain(policy="accept"),
        chain(hook="input"),
        chain(family="ip6"),
        {"family": "ip", "table": "t", "name": "c"},
    ]
    assert foreign_drops(others) == ()
