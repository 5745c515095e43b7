"""TLS to clients: whose certificate for which name, swaps, tickets, what dynos and access lines hear of it; ACME's questions."""

import asyncio
import contextlib
import ssl
import subprocess
import tempfile
import warnings
from types import SimpleNamespace

import pytest
from x509_samples import Signer

from dynod.model.certs import CertTable, Served
from dynod.model.settings import certs_file
from dynod.wire import certs as certs_codec
from dynod.wire.rpc import Notification, encode
from router.timers import Timers
from router.tls import SecureClient
from tests.router.routing import (
    GET,
    Connection,
    FakeControl,
    canned,
    run,
    running,
    serving,
    table,
    trusting_all,
)

SIGNER = Signer()
FIRST, APP, STAR, EXACT = (
    Served(*SIGNER.server(*names))
    for names in (("first.test",), ("app.localhost",), ("*.example.com",), ("www.example.com",))
)
CERTS = CertTable(
    1, (FIRST, APP, STAR, EXACT), {"app.localhost": 1, "*.example.com": 2, "www.example.com": 3}
)
HOSTS = ("app.localhost", "*.example.com", "www.example.com")


def shown(connection) -> str:
    """The names of the certificate that came, read by openssl: nobody here is trusted."""
    der = connection.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    pem = ssl.DER_cert_to_PEM_cert(der)
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-ext", "subjectAltName"],
        input=pem,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.rpartition("DNS:")[2].strip()


@pytest.mark.parametrize(
    ("name", "certificate"),
    [
        ("app.localhost", "app.localhost"),
        ("APP.localhost", "app.localhost"),
        ("www.example.com", "www.example.com"),
        ("other.example.com", "*.example.com"),
        ("a.b.example.com", "first.test"),
        ("example.com", "first.test"),
        ("stranger.test", "first.test"),
        (None, "first.test"),
    ],
)
def test_the_certificate_is_chosen_by_name_exact_first_then_wildcard(name, certificate):
    async def test():
        async with running(table()) as router:
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls(name) as connection:
                assert shown(connection) == certificate

    run(test)


def test_dynos_and_access_lines_are_told():
    async def test():
        async with serving() as (router, dyno):
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls() as connection:
                for _ in range(2):
                    assert (await connection.ask()).body == b"hello"
                    assert b"\r\nX-Forwarded-Proto: https\r\n" in dyno.heads[-1]
                    assert f"\r\nX-Forwarded-Port: {router.tls_port}\r\n".encode() in dyno.heads[-1]
                    line = await router.logplex.line()
                    assert line.startswith('at=info method=GET path="/" host=app.localhost request_id=')
                    assert line.endswith(" status=200 bytes=105 protocol=http1.1 tls=true tls_version=tls1.3")
            old = trusting_all()
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            async with await router.connect_tls(context=old) as connection:
                await connection.ask()
                assert (await router.logplex.line()).endswith(" tls=true tls_version=tls1.2")
            await router.ask()
            assert (await router.logplex.line()).endswith(" protocol=http1.1 tls=false")
            assert b"\r\nX-Forwarded-Proto: http\r\n" in dyno.heads[-1]

    run(test)


@pytest.mark.parametrize("before", [0, 1])
def test_a_request_that_comes_with_a_goodbye_is_the_last_and_is_answered(before):
    """The client sends no more and reads on (RFC 8446 6.1), and leaves the end of the connection to us."""

    async def test():
        async with serving() as (router, dyno):
            router.worker.certificates.swap(CERTS)
            for _ in range(before):  # a host that is known has a quicker way
                await router.ask()
            reader, writer = await asyncio.open_connection("127.0.0.1", router.tls_port)
            async with Connection(reader, writer):
                incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
                client = trusting_all().wrap_bio(incoming, outgoing, server_hostname="app.localhost")
                with pytest.raises(ssl.SSLWantReadError):
                    client.do_handshake()
                writer.write(outgoing.read())
                while not client.version():
                    incoming.write(await reader.read(65536))
                    with contextlib.suppress(ssl.SSLWantReadError):
                        client.do_handshake()
                client.write(GET)
                with pytest.raises(ssl.SSLWantReadError):
                    client.unwrap()
                writer.write(outgoing.read())
                incoming.write(await reader.read())
                said = client.read(65536)
                assert said.startswith(b"HTTP/1.1 200 OK\r\n")
                assert b"\r\nConnection: close\r\n" in said
                assert said.endswith(b"hello")
                with pytest.raises(ssl.SSLZeroReturnError):  # a goodbye, and no cut
                    client.read(1)
            assert len(dyno.heads) == 1 + before
            assert all(" status=200 " in row[4] for row in await router.logplex.wait(1 + before))

    run(test)


def test_a_goodbye_under_a_request_that_is_not_whole_or_has_become_a_websocket_ends_it():
    client = SecureClient(SimpleNamespace(start=None, forward=None, timers=Timers()), 443)
    assert not client.eof_received()
    for whole, tunnel in ((False, None), (True, object())):
        client.exchange = SimpleNamespace(request_done=whole, tunnel=tunnel)
        assert not client.eof_received()


def test_tls_before_1_2_is_refused():
    async def test():
        async with running(table()) as router:
            router.worker.certificates.swap(CERTS)
            old = trusting_all()
            with warnings.catch_warnings(action="ignore"):
                old.minimum_version = ssl.TLSVersion.TLSv1
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await router.connect_tls(context=old)

    run(test)


def test_before_there_is_a_certificate_handshakes_fail_and_nothing_else():
    async def test():
        async with serving() as (router, _):
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await router.connect_tls()
            assert (await router.ask()).status == 200
            router.worker.certificates.swap(CertTable(1, (Served("no", "such"),), {}))
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await router.connect_tls()
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls() as connection:
                assert (await connection.ask()).status == 200

    run(test)


def test_a_swap_disturbs_no_connection_and_is_seen_by_the_next():
    async def test():
        async with serving() as (router, _):
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls() as before:
                assert (await before.ask()).status == 200
                newer = Served(*SIGNER.server("app.localhost", "newer.test"))
                router.worker.certificates.swap(CertTable(2, (FIRST, newer), {"app.localhost": 1}))
                async with await router.connect_tls() as after:
                    assert shown(after) == "newer.test"
                assert (await before.ask()).status == 200
                assert shown(before) == "app.localhost"

    run(test)


def test_a_session_goes_on_with_its_ticket():
    async def test():
        async with serving() as (router, _):
            router.worker.certificates.swap(CERTS)
            with tempfile.NamedTemporaryFile() as ticket:
                said = [
                    await s_client(router.tls_port, *words)
                    for words in (("-sess_out", ticket.name), ("-sess_in", ticket.name))
                ]
            assert [b"\nReused, TLS" in each for each in said] == [False, True]

    async def s_client(port, *words):
        argv = [
            "openssl",
            "s_client",
            "-connect",
            f"127.0.0.1:{port}",
            "-servername",
            "app.localhost",
            "-ign_eof",  # the ticket comes before the end, not before our own
            *words,
        ]
        child = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await child.communicate(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return said

    run(test)


def test_a_request_for_another_than_the_handshake_was_for_is_misdirected():
    """RFC 9110 15.5.20; H31 with the client's agent."""

    async def test():
        async with serving(hosts=HOSTS) as (router, dyno):
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls("www.example.com") as connection:
                request = GET.replace(b"\r\n\r\n", b'\r\nUser-Agent: "a"\xff/1\r\n\r\n')
                response = await connection.ask(request)
                assert (response.status, response.get("Connection")) == (421, "close")
                line = await router.logplex.line()
                assert line.startswith('at=error code=H31 desc="Misdirected Request" agent="aÿ/1" method=GET')
                assert "host=app.localhost" in line
                assert dyno.heads == []
            for name, host in ((None, b"app.localhost"), ("x.example.com", b"X.example.com.:443")):
                async with await router.connect_tls(name) as connection:
                    assert (await connection.ask(GET.replace(b"app.localhost", host))).status == 200

    run(test)


def test_bodies_large_and_small_go_both_ways():
    body = bytes(range(256)) * 8192

    async def echo(head, reader, writer):
        data = await reader.readexactly(len(body))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(data), data))
        return True

    async def test():
        async with serving(echo) as (router, _):
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls() as connection:
                head = b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n"
                assert (await connection.ask(head % len(body) + body)).body == body

    run(test)


def test_a_websocket_passes():
    async def upgrade(head, reader, writer):
        writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        writer.write(await reader.readexactly(4))
        return False

    async def test():
        async with serving(upgrade) as (router, _):
            router.worker.certificates.swap(CERTS)
            async with await router.connect_tls() as connection:
                request = GET.replace(b"\r\n\r\n", b"\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
                assert (await connection.ask(request, head_only=True)).status == 101
                connection.writer.write(b"ping")
                assert await connection.reader.readexactly(4) == b"ping"
                assert await connection.closed() == b""

    run(test)


def test_who_does_not_shake_hands_is_no_client():
    async def test():
        async with serving() as (router, _):
            router.worker.certificates.swap(CERTS)
            reader, writer = await asyncio.open_connection("127.0.0.1", router.tls_port)
            writer.write(GET)
            answer = await reader.read()
            writer.close()
            assert b"HTTP" not in answer
            assert (await router.ask()).status == 200

    run(test)


# -- how certificates come ----------------------------------------------------------------------------------------------


def test_certificates_come_from_the_disk_then_from_the_control_plane():
    async def test():
        async with running(table()) as router:
            with open(certs_file(router.state), "wb") as file:
                file.write(certs_codec.encode(CERTS))
            control = FakeControl(router.run)
            newer = CertTable(7, (EXACT,), {}, {"token": "answer"})
            control.bytes = encode(Notification("certs", certs_codec.encode(newer)))
            await control.open()
            assert (await control.wakes.get()) == Notification("applied_certs", [7])
            async with await router.connect_tls() as connection:
                assert shown(connection) == "www.example.com"
            assert router.worker.certificates.challenges == {"token": "answer"}

    run(test)


def test_a_router_starts_with_the_last_certificates():
    from router.link import last_certs

    with tempfile.TemporaryDirectory() as state:
        assert last_certs(state) is None
        path = certs_file(state)
        subprocess.run(["mkdir", "-p", path.rpartition("/")[0]], check=True)
        for data, found in ((certs_codec.encode(CERTS), CERTS), (b"nonsense", None)):
            with open(path, "wb") as file:
                file.write(data)
            assert last_certs(state) == found


# -- ACME ---------------------------------------------------------------------------------------------------------------

ASK = b"GET /.well-known/acme-challenge/%b HTTP/1.1\r\nHost: %b\r\n\r\n"


def test_challenges_are_answered_by_the_router_and_only_those():
    async def test():
        async with serving(canned(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as (router, dyno):
            assert (await router.ask(ASK % (b"tok", b"app.localhost"))).status == 404  # the dyno's
            router.worker.certificates.swap(CertTable(1, (), {}, {"tok": "tok.print"}))
            async with await router.connect() as connection:
                for host in (b"app.localhost", b"nobody.test"):
                    found = await connection.ask(ASK % (b"tok", host))
                    assert (found.status, found.body) == (200, b"tok.print")
                assert len(dyno.heads) == 1
                assert (await connection.ask(ASK % (b"other", b"app.localhost"))).status == 404
                post = (ASK % (b"tok", b"app.localhost")).replace(b"GET", b"POST")
                assert (await connection.ask(post)).status == 404
                assert len(dyno.heads) == 3
                head = (ASK % (b"tok", b"app.localhost")).replace(b"GET", b"HEAD")
                assert (await connection.ask(head, head_only=True)).get("Content-Length") == "9"
            router.worker.certificates.swap(CERTS)
            assert (await router.ask(ASK % (b"tok", b"app.localhost"))).status == 404

    run(test)


def test_nonsense_beside_a_challenge_is_still_a_bad_request():
    async def test():
        async with serving() as (router, _):
            router.worker.certificates.swap(CertTable(1, (), {}, {"tok": "tok.print"}))
            assert (
                await router.ask((ASK % (b"tok", b"app.localhost")).replace(b"Host", b"Ho st"))
            ).status == 400

    run(test)
