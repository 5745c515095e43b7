"""TLS records on a connection of our own: whole, byte by byte, many at once; who says goodbye, who breaks off, who never shakes hands."""

import asyncio
import ssl
import tempfile
from functools import cache

import pytest

from dynod.host.authority import authority, issue, pem
from dynod.host.certificates import key_text, new_key
from router.addresses import Addresses
from router.secure import HANDSHAKE, LOOKS, RECORD, Secured, Shaking
from router.tls import new_context

pytestmark = pytest.mark.usefixtures("either_hands")


@cache
def context() -> ssl.SSLContext:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509

    made = new_context()
    with tempfile.TemporaryDirectory() as home:
        now, key = datetime.now(UTC) - timedelta(minutes=1), new_key()
        chain = pem(issue(authority(f"{home}/ca", now), key, [x509.DNSName("a")], "a", now)).decode()
        with open(f"{home}/pem", "w", encoding="utf-8") as file:
            file.write(chain + key_text(key))
        made.load_cert_chain(f"{home}/pem")
    return made


class Tcp(asyncio.Transport):
    """What a connection did to the transport below it."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.did: list[str] = []

    def write(self, data) -> None:
        self.writes.append(bytes(data))

    def taken(self) -> bytes:
        data = b"".join(self.writes)
        self.writes.clear()
        return data

    def close(self) -> None:
        self.did.append("close")

    def abort(self) -> None:
        self.did.append("abort")

    def get_extra_info(self, name, default=None):
        return {"peername": ("10.0.0.1", 1)}.get(name, default)


class Above(asyncio.Protocol):
    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.lost: list[object] = []
        self.answers = False  # to what came before a goodbye

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        assert data
        self.got.append(data)

    def eof_received(self) -> bool:
        return self.answers

    def connection_lost(self, exc) -> None:
        self.lost.append(exc)


class Loop:
    """A clock, and the one timer that all connections want."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, object]] = []

    def time(self) -> float:
        return self.now

    def call_later(self, after, call):
        self.timers.append((self.now + after, call))
        return self

    def pass_to(self, now: float) -> None:
        """Let time pass; what is due is called."""
        self.now = now
        due = [call for at, call in self.timers if at <= now]
        self.timers = [(at, call) for at, call in self.timers if at > now]
        for call in due:
            call()


class Pair:
    """A connection of ours and a client of OpenSSL's; `step` is how many bytes arrive at once."""

    def __init__(self, step: int = 2**20, shaking: Shaking | None = None, **client) -> None:
        self.tcp, self.above, self.step = Tcp(), Above(), step
        self.ours = Secured(shaking or Shaking(Loop()), context(), lambda _: self.above, Addresses())
        self.ours.connection_made(self.tcp)
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
        for name, value in client.items():
            setattr(made, name, value)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = made.wrap_bio(self.incoming, self.outgoing, server_hostname="a")

    def send(self) -> None:
        data = self.outgoing.read()
        for at in range(0, len(data), self.step):
            self.ours.data_received(data[at : at + self.step])

    def shake(self, first: bytes = b"") -> "Pair":
        """Shake hands; `first` comes in one piece with the client's last word of it."""
        for _ in range(4):
            try:
                self.client.do_handshake()
            except ssl.SSLWantReadError:
                self.send()
                self.incoming.write(self.tcp.taken())
            else:
                break
        if first:
            self.client.write(first)
        self.send()
        return self

    def read(self) -> bytes:
        self.incoming.write(self.tcp.taken())
        data = b""
        try:
            while piece := self.client.read(RECORD):
                data += piece
        except ssl.SSLWantReadError:
            pass
        return data


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("step", [1, 7, 2**20])
@pytest.mark.parametrize("size", [1, RECORD, 100_000])
def test_bytes_go_both_ways_however_they_are_cut(version, step, size):
    pair = Pair(step, maximum_version=version).shake()
    data = bytes(range(256)) * (size // 256) + b"x"
    pair.client.write(data)
    pair.send()
    assert b"".join(pair.above.got) == data
    pair.above.transport.write(data)
    assert pair.read() == data


def test_a_request_of_one_record_is_one_piece_and_many_records_are_one_too():
    pair = Pair().shake()
    pair.client.write(b"one")
    pair.send()
    pair.client.write(b"two")
    pair.client.write(b"x" * 3 * RECORD)
    pair.send()
    assert pair.above.got == [b"one", b"two" + b"x" * 3 * RECORD]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_that_comes_with_the_end_of_the_handshake_is_heard(version):
    pair = Pair(maximum_version=version)
    if version is ssl.TLSVersion.TLSv1_3:
        pair.shake(b"early")
        assert pair.above.got == [b"early"]
        assert pair.tcp.writes == []  # its ticket goes out with the answer
        pair.above.transport.write(b"answer")
        assert len(pair.tcp.writes) == 1
        assert pair.read() == b"answer"
        assert pair.client.session.has_ticket
    else:
        pair.shake()
        pair.client.write(b"early")
        pair.send()
        assert pair.above.got == [b"early"]


def test_who_asks_nothing_gets_a_ticket_all_the_same():
    pair = Pair().shake()
    assert pair.tcp.writes
    pair.read()
    assert pair.client.session.has_ticket


def test_the_last_answer_and_the_goodbye_are_one_write():
    pair = Pair().shake()
    pair.read()
    pair.above.transport.write_last(b"bye")
    assert pair.tcp.writes == []
    pair.above.transport.close()
    pair.above.transport.close()
    pair.above.transport.write(b"too late")
    assert (len(pair.tcp.writes), pair.tcp.did) == (1, ["close"])
    assert pair.read() == b"bye"
    assert pair.client.read(1) == b""  # the end, and no cut


def test_a_goodbye_is_answered_and_ends_the_connection():
    pair = Pair().shake()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.send()
    assert (pair.above.got, pair.tcp.did, pair.above.transport.is_closing()) == ([], ["close"], True)
    pair.incoming.write(pair.tcp.taken())
    pair.client.unwrap()


@pytest.mark.parametrize("step", [1, 2**20])
@pytest.mark.parametrize("answers", [True, False])
def test_what_came_before_a_goodbye_is_heard_and_nothing_more_is_waited_for(step, answers):
    pair = Pair(step).shake()
    pair.above.answers = answers
    pair.client.write(b"last")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.send()
    assert b"".join(pair.above.got) == b"last"
    assert pair.tcp.did == ([] if answers else ["close"])
    if answers:
        pair.tcp.taken()  # a ticket
        pair.above.transport.write_last(b"answer")
        pair.above.transport.close()
        assert (len(pair.tcp.writes), pair.tcp.did) == (1, ["close"])


def test_a_goodbye_with_the_end_of_the_handshake_ends_the_connection():
    pair = Pair()
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.do_handshake()
    pair.send()
    pair.incoming.write(pair.tcp.taken())
    pair.client.do_handshake()
    pair.client.write(b"only")
    with pytest.raises(ssl.SSLWantReadError):
        pair.client.unwrap()
    pair.send()
    assert (pair.above.got, pair.tcp.did) == ([b"only"], ["close"])


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(100)])
def test_who_speaks_no_tls_is_told_so_and_left(nonsense):
    pair = Pair()
    pair.ours.data_received(nonsense)
    assert pair.tcp.did == ["close"]
    assert pair.tcp.taken()[:1] in {b"\x15", b""}
    assert not hasattr(pair.above, "transport")


def test_a_changed_byte_ends_the_connection_and_is_not_heard():
    pair = Pair().shake()
    pair.client.write(b"money for Alice")
    record = bytearray(pair.outgoing.read())
    record[-20] ^= 1
    pair.ours.data_received(bytes(record))
    assert (pair.above.got, pair.tcp.did) == ([], ["close"])
    with pytest.raises(ssl.SSLError):
        pair.read()
    pair.ours.connection_lost(None)
    assert pair.above.lost == [None]


def test_who_does_not_shake_hands_is_left_after_a_while_and_nobody_else():
    """One timer for all, set anew for the oldest that is still at it."""
    loop = Loop()
    shaking, begun = Shaking(loop), loop.now
    slow, quick, gone = Pair(shaking=shaking), Pair(shaking=shaking), Pair(shaking=shaking)
    quick.shake()
    gone.ours.connection_lost(None)
    loop.pass_to(begun + 4.0)
    later = Pair(shaking=shaking)
    assert [at for at, _ in loop.timers] == [begun + HANDSHAKE]
    loop.pass_to(begun + HANDSHAKE)
    assert [pair.tcp.did for pair in (slow, quick, gone, later)] == [["abort"], [], [], []]
    assert [at for at, _ in loop.timers] == [begun + 4.0 + HANDSHAKE]
    slow.ours.connection_lost(None)
    assert (slow.above.lost, gone.above.lost) == ([], [])
    later.shake()
    loop.pass_to(begun + 4.0 + HANDSHAKE)
    assert (later.tcp.did, loop.timers) == ([], [])
    Pair(shaking=shaking)
    assert [at for at, _ in loop.timers] == [loop.now + HANDSHAKE]


def test_who_begin_one_right_after_the_other_are_looked_at_together():
    """A look costs all who are still at it: one for each would cost their square."""
    loop = Loop()
    shaking, begun = Shaking(loop), loop.now
    crowd = []
    for after in (0.0, 0.1, 0.2, LOOKS):
        loop.pass_to(begun + after)
        crowd.append(Pair(shaking=shaking))
    loop.pass_to(begun + HANDSHAKE)
    assert [pair.tcp.did for pair in crowd] == [["abort"], [], [], []]
    assert [at for at, _ in loop.timers] == [begun + HANDSHAKE + LOOKS]
    loop.pass_to(begun + HANDSHAKE + LOOKS)
    assert [pair.tcp.did for pair in crowd] == [["abort"]] * 4
