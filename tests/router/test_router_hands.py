"""The compiled steps of a handshake beside Python's: the same words for the same ends, and nobody's fault is another's."""

import ssl
import time

import pytest

from router import hands, tickets
from router.tickets import Chain, Tickets
from router.tls import Certificates, new_context
from tests.router.routing import trusting_all
from tests.router.test_router_tickets import CERTS, shake

if not hands.there:
    pytest.skip(
        "hands.c is not compiled (make setup), or this Python is another than it knows",
        allow_module_level=True,
    )

BOTH = pytest.mark.parametrize("step", [hands.shake, hands.slow_shake], ids=["compiled", "Python"])


def begun() -> tuple[ssl.SSLObject, ssl.MemoryBIO, ssl.MemoryBIO]:
    certificates = Certificates(new_context())
    certificates.swap(CERTS)
    to_us, from_us = ssl.MemoryBIO(), ssl.MemoryBIO()
    return certificates.begin().wrap_bio(to_us, from_us, server_side=True), to_us, from_us


def shaken() -> ssl.SSLObject:
    ours, to_us, from_us = begun()
    client = trusting_all().wrap_bio(from_us, to_us, server_hostname="app.localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    hands.shake(ours)
    client.do_handshake()
    assert hands.shake(ours) == hands.DONE
    return ours


@BOTH
def test_a_step_says_done_waits_or_failed(step):
    ours, to_us, from_us = begun()
    assert step(ours) == hands.WAITS
    client = trusting_all().wrap_bio(from_us, to_us, server_hostname="app.localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    assert step(ours) == hands.WAITS
    client.do_handshake()
    assert step(ours) == hands.DONE
    ours, to_us, _ = begun()
    to_us.write(b"GET / HTTP/1.1\r\n\r\n")
    assert (step(ours), step(ours)) == (hands.FAILED, hands.FAILED)


def test_a_fault_of_one_connection_is_not_taken_for_anothers():
    """OpenSSL's errors wait in one queue for all connections of a thread (SSL_get_error(3))."""
    good = shaken()
    # A goodbye in the middle of a handshake: OpenSSL has a word to say about that.
    for ends in (
        hands.shake,
        hands.goodbye,
    ):
        bad, to_bad, _ = begun()
        to_bad.write(b"\x16\x03\x01\x00\x05hello")
        ends(bad)
        with pytest.raises(ssl.SSLWantReadError):
            good.read(1)


@pytest.mark.parametrize("nothing", [None, object(), ssl.MemoryBIO(), 5])
def test_what_is_no_connection_is_refused(nothing):
    for step in (hands.shake, hands.goodbye):
        with pytest.raises((AttributeError, TypeError)):
            step(nothing)


def test_a_connection_that_only_looks_like_one_is_refused():
    class Odd:
        _sslobj = "no connection"

    for step in (hands.shake, hands.goodbye):
        with pytest.raises(TypeError):
            step(Odd())


def test_another_context_does_not_fit():
    context, other = new_context(), new_context()
    connection = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    assert hands._found.fits(connection, context)
    assert not hands._found.fits(connection, other)


# -- tickets ------------------------------------------------------------------------------------------------------------


class Laying:
    """Tickets that own the compiled sealer, and how often they laid a key."""

    def __init__(self, monkeypatch, until: float) -> None:
        self.laid: list[int] = []
        monkeypatch.setattr(hands, "_claimed", [])
        real = hands.lay

        def lay(name, parameters, cipher, key, stated):
            self.laid.append(stated)
            real(name, parameters, cipher, key, min(stated, int(until)))

        monkeypatch.setattr(hands, "lay", lay)
        self.chain = Chain.begun(b"z" * 32, time.time())
        self.tickets = Tickets(self.chain)

    def context(self) -> ssl.SSLContext:
        certificates = Certificates(new_context(), self.tickets.key)
        certificates.swap(CERTS)
        return certificates.begin()


def test_a_key_is_laid_once_and_what_it_seals_opens_wherever_the_chain_is_known(monkeypatch):
    laying = Laying(monkeypatch, float(2**40))
    context, client = laying.context(), trusting_all()
    sessions = [shake(context, client).session for _ in range(3)]
    assert laying.laid == [laying.chain.until]
    assert time.time() < laying.chain.until <= time.time() + tickets.PERIOD
    elsewhere = Certificates(new_context(), Tickets(Chain.read(laying.chain.written(time.time()))).key)
    elsewhere.swap(CERTS)
    for session in sessions:
        assert shake(elsewhere.begin(), client, session).session_reused
        assert shake(context, client, session).session_reused


def test_no_two_tickets_begin_alike(monkeypatch):
    """TLS 1.2 sends them in the clear: the key's name, 16 bytes of chance (RFC 5077 4)."""
    laying = Laying(monkeypatch, float(2**40))
    context, client = laying.context(), trusting_all()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    name = laying.chain.newest(time.time()).name
    begins = set()
    for _ in range(4):
        to_us, from_us, to_client = ssl.MemoryBIO(), ssl.MemoryBIO(), ssl.MemoryBIO()
        ours = context.wrap_bio(to_us, from_us, server_side=True)
        theirs = client.wrap_bio(to_client, to_us, server_hostname="app.localhost")
        for _ in range(2):
            with pytest.raises(ssl.SSLWantReadError):
                theirs.do_handshake()
            hands.shake(ours)
            to_client.write(said := from_us.read())
        assert name in said
        begins.add(said.partition(name)[2][:16])
    assert len(begins) == 4


def test_a_key_that_is_due_is_asked_for_again(monkeypatch):
    laying = Laying(monkeypatch, time.time() - 1)
    context, client = laying.context(), trusting_all()
    for _ in range(3):
        shake(context, client)
    assert len(laying.laid) == 3


def test_a_second_owner_goes_without(monkeypatch):
    first = Laying(monkeypatch, float(2**40))
    shake(first.context(), trusting_all())
    second = Tickets(Chain.begun(b"other" * 7, time.time()))
    certificates = Certificates(new_context(), second.key)
    certificates.swap(CERTS)
    client = trusting_all()
    session = shake(certificates.begin(), client).session
    assert len(first.laid) == 1
    assert not shake(first.context(), client, session).session_reused
    assert shake(certificates.begin(), client, session).session_reused
