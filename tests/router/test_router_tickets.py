"""Ticket keys: a chain that steps by the clock, and real handshakes between contexts that know nothing of each other but the chain."""

import ssl

import pytest
from x509_samples import Signer

from dynod.model.certs import CertTable, Served
from router.tickets import BEFORE, PERIOD, Chain, Tickets
from router.tls import Certificates, new_context
from tests.router.routing import trusting_all

CERTS = CertTable(1, (Served(*Signer().server("app.localhost")),), {"app.localhost": 0})
NOW = 1_000_000_000.0


class Clock:
    def __init__(self, now=NOW):
        self.now = now

    def __call__(self):
        return self.now


def server(chain: Chain, clock: Clock, *, shared: bool = False) -> ssl.SSLContext:
    """A router's context, as another program would make it: the first certificate's, or the one that all its workers share."""
    tickets = Tickets(chain, clock)
    base = new_context()
    assert tickets.key(base)
    certificates = Certificates(base, None if shared else tickets.key)
    certificates.swap(CERTS)
    context = certificates.begin()
    assert (context is base) is shared
    return context


def shake(context: ssl.SSLContext, client: ssl.SSLContext, session=None) -> ssl.SSLObject:
    """Shake hands in memory; the client has taken the server's tickets when this returns."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    there = context.wrap_bio(to_server, to_client, server_side=True)
    here = client.wrap_bio(to_client, to_server, server_hostname="app.localhost", session=session)
    waiting = [here, there]
    while waiting:
        for side in list(waiting):
            try:
                side.do_handshake()
                waiting.remove(side)
            except ssl.SSLWantReadError:
                pass
    there.write(b"hello")
    assert here.read(5) == b"hello"
    return here


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def client(request):
    context = trusting_all()
    context.maximum_version = request.param
    return context


def test_a_session_goes_on_at_another_program_that_has_the_chain(client):
    clock = Clock()
    chain = Chain.begun(b"x" * 32, NOW)
    first = shake(server(chain, clock), client)
    assert not first.session_reused
    taken_over = Chain.read(chain.written(NOW))
    for shared in (False, True):
        assert shake(server(taken_over, clock, shared=shared), client, first.session).session_reused
    stranger = Chain.begun(b"y" * 32, NOW)
    assert not shake(server(stranger, clock), client, first.session).session_reused


def test_a_ticket_outlives_two_changes_of_the_key_and_no_third(client):
    clock = Clock()
    context = server(Chain.begun(b"x" * 32, NOW), clock)
    first = shake(context, client)
    for changes, reused in ((1, True), (BEFORE, True), (BEFORE + 1, False)):
        clock.now = NOW + changes * PERIOD
        assert shake(context, client, first.session).session_reused is reused


def test_the_key_is_another_every_twelve_hours():
    chain = Chain.begun(b"x" * 32, NOW)
    keys = [chain.newest(NOW + step * PERIOD) for step in range(4)]
    assert len({key.name for key in keys}) == len({key.cipher for key in keys}) == 4
    later = NOW + 3 * PERIOD
    assert [chain.by_name(key.name, later) for key in keys] == [None, *keys[1:]]
    assert chain.newest(later + 1) is keys[3]


def test_a_chain_that_is_passed_on_does_not_lead_back():
    chain = Chain.begun(b"x" * 32, NOW)
    old = chain.newest(NOW)
    later = NOW + (BEFORE + 1) * PERIOD
    passed = Chain.read(chain.written(later))
    assert passed.newest(later) == chain.newest(later)
    assert passed.by_name(old.name, later) is None
    assert passed.by_name(old.name, NOW) is None


def test_a_clock_that_is_set_back_changes_nothing():
    chain = Chain.begun(b"x" * 32, NOW)
    ahead = chain.newest(NOW + PERIOD)
    assert chain.newest(NOW) is ahead
    assert chain.newest(NOW - 100 * PERIOD) is ahead


def test_all_that_hold_a_link_step_alike():
    one, other = Chain.begun(b"x" * 32, NOW), Chain.begun(b"x" * 32, NOW)
    one.newest(NOW + PERIOD)
    assert one.newest(NOW + 5 * PERIOD) == other.newest(NOW + 5 * PERIOD)


def test_where_openssl_cannot_be_reached_its_own_key_serves(monkeypatch, caplog):
    monkeypatch.setattr("router.tickets._pointer", lambda *_: None)
    assert not Tickets(Chain.begun(b"x" * 32, NOW)).key(new_context())
    assert "good at this router only" in caplog.text
