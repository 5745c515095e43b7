"""Chunked bodies: whole, byte by byte, with a tail; strict."""

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.framing import BadChunk, Chunks, chunk, last_chunk

GOOD = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\n\r\n"


def read(*parts: bytes) -> tuple[bytes, Chunks]:
    chunks = Chunks()
    return b"".join([chunks.feed(part) for part in parts]), chunks


@pytest.mark.parametrize("tail", [b"", b"GET / HTTP/1.1\r\n"])
def test_whole_byte_by_byte_and_with_a_tail(tail):
    body, chunks = read(GOOD + tail)
    assert (body, chunks.done, chunks.rest) == (b"hello world", True, tail)
    body, chunks = read(*[GOOD[at : at + 1] for at in range(len(GOOD))])
    assert (body, chunks.done, chunks.rest) == (b"hello world", True, b"")


def test_trailers_are_kept_but_not_those_that_would_frame_anew():
    _, chunks = read(b"0\r\nDigest: x\r\nContent-Length: 5\r\nHost: evil\r\nX-A:b\r\n\r\n")
    assert chunks.trailers == b"Digest: x\r\nX-A:b\r\n"
    assert last_chunk(chunks.trailers) == b"0\r\nDigest: x\r\nX-A:b\r\n\r\n"


@pytest.mark.parametrize(
    "bad",
    [
        b"x\r\n", b"-1\r\n", b"0x5\r\nhello\r\n", b" 5\r\nhello\r\n", b"5 \r\nhello\r\n", b"5\nhello\r\n", b"5\r\nhelloX\r\n", b"5\r\nhello\n",
        b"5\r\nhello0\r\n\r\n", b"\r\n", b"ffffffffffffffff\r\n", b"5;a\x00b\r\n", b"5;a\rb\r\n", b"0\r\nbad line\r\n\r\n", b"0\r\n folded\r\n\r\n",
        b"0\r\nA: b\nC: d\r\n\r\n", b"5;" + b"x" * 2000,
    ],
)  # fmt: skip
def test_what_is_not_a_chunked_body_is_refused_whole_and_byte_by_byte(bad):
    with pytest.raises(BadChunk):
        read(bad)
    with pytest.raises(BadChunk):
        read(*[bad[at : at + 1] for at in range(len(bad))])


def test_trailers_have_a_limit():
    with pytest.raises(BadChunk):
        read(b"0\r\n" + b"A: b\r\n" * 20_000)


def test_no_chunk_for_nothing():
    assert chunk(b"") == b""
    assert chunk(b"x" * 17) == b"11\r\n" + b"x" * 17 + b"\r\n"


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.data())
def test_what_is_made_is_read_back_however_it_is_cut(bodies, data):
    made = b"".join(map(chunk, bodies)) + last_chunk(b"") + b"tail"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(made)), max_size=8)))
    chunks = Chunks()
    got = b""
    rest = b""
    for start, end in zip([0, *cuts], [*cuts, len(made)], strict=True):
        if chunks.done:
            rest += made[start:end]
        else:
            got += chunks.feed(made[start:end])
    assert got == b"".join(bodies)
    assert chunks.rest + rest == b"tail"


@given(st.binary(max_size=60) | st.from_regex(rb"[0-9a-f;x \r\n]{0,12}\r\n[a-z\r\n0]{0,20}", fullmatch=True))
def test_what_we_read_h11_reads_too_and_the_same(wire):
    chunks = Chunks()
    try:
        body = chunks.feed(wire)
    except BadChunk:
        return
    client = h11.Connection(h11.SERVER)
    client.receive_data(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + wire)
    client.next_event()
    theirs = b""
    while isinstance(event := client.next_event(), h11.Data):
        theirs += event.data
    assert theirs == body
    assert isinstance(event, h11.EndOfMessage) == chunks.done
