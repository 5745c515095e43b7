"""Which name servers dynos ask."""

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


def test_no_file_no_server():
    assert dyno_resolver(["", STUB]) == Resolver()


def test_libc_s_limit_doubles_and_nonsense():
    text = "nameserver\nnameserver x\nnameserver 0.0.0.0\n" + "".join(
        f"nameserver 10.0.0.{n}\n" for n in (1, 1, 2, 3, 4)
    )
    assert read_resolver(text).nameservers == ("10.0.0.1", "10.0.0.2", "10.0.0.3")
