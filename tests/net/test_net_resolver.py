"""Which name servers dynos ask."""

import pytest

from dynod.model.resolver import Resolver, dyno_resolver, read_resolver

STUB = "# systemd\nnameserver 127.0.0.53\noptions edns0 trust-ad\nsearch lan\n"
UPSTREAM = "nameserver 192.168.1.1\nnameserver fe80::1%eth0\nnameserver 9.9.9.9\nsearch lan example.com\noptions ndots:2 edns0\n"


def test_a_server_on_loopback_is_no_use_to_a_dyno():
    assert read_resolver(STUB).nameservers == ()


def test_the_first_file_with_a_usable_server_is_taken_whole():
    assert dyno_resolver([STUB, UPSTREAM, "nameserver 8.8.8.8"]) == Resolver(
        ("192.168.1.1", "9.9.9.9"), ("search lan example.com", "options ndots:2")
    )


def test_text_reads_back_equal():
    resolver = dyno_resolver([UPSTREAM])
    assert read_resolver(resolver.text()) == resolver


def test_servers_by_ipv6_come_behind_those_by_ipv4_which_every_dyno_has():
    text = "nameserver 2001:db8::53\nnameserver fd00:ec2::253\nnameserver 10.0.0.1\nnameserver 10.0.0.2\n"
    assert read_resolver(text).nameservers == ("10.0.0.1", "10.0.0.2", "2001:db8::53")


def test_a_machine_that_asks_by_ipv6_alone_has_dynos_that_do():
    assert dyno_resolver([STUB, "nameserver 2001:db8::53\n"]).nameservers == ("2001:db8::53",)
    assert dyno_resolver(["nameserver 2001:db8::53\n", UPSTREAM]).nameservers == ("192.168.1.1", "9.9.9.9")


@pytest.mark.parametrize(
    "address", ["::1", "::", "fe80::1%eth0", "fe80::1", "::ffff:10.0.0.1", "2001:db8::1%eth0"]
)
def test_a_server_on_loopback_or_on_a_cable_of_the_machine_s_is_no_use_to_a_dyno(address):
    assert read_resolver(f"nameserver {address}\n").nameservers == ()


def test_no_file_no_server():
    assert dyno_resolver(["", STUB]) == Resolver()


def test_libc_s_limit_doubles_and_nonsense():
    text = "nameserver\nnameserver x\nnameserver 0.0.0.0\n" + "".join(
        f"nameserver 10.0.0.{n}\n" for n in (1, 1, 2, 3, 4)
    )
    assert read_resolver(text).nameservers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
