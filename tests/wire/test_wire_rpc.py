"""dynod.wire.rpc: frames whole, byte by byte, with a tail, and what is no frame."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.wire.rpc import BadFrame, Decoder, Notification, Request, Response, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | texts
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(0, 9), inner, max_size=3),
    max_leaves=8,
)
ids = st.integers(0, 2**32 - 1)
frames = st.one_of(
    st.builds(Request, ids, texts, values),
    st.builds(Response, ids, st.none(), values),
    st.builds(Response, ids, st.tuples(texts, texts), values),
    st.builds(Notification, texts, values),
)

SAMPLES = [
    (Request(1, "take", {"id": "dyno-1"}), [0, 1, "take", {"id": "dyno-1"}]),
    (Response(1, None, [1, b"\0"]), [1, 1, None, [1, b"\0"]]),
    (Response(2, ("not_found", "cannot find it"), None), [1, 2, ["not_found", "cannot find it"], None]),
    (Notification("lines", []), [2, "lines", []]),
]


@pytest.mark.parametrize(("frame", "body"), SAMPLES)
def test_frames_are_message_pack_rpc(frame, body):
    assert msgpack.unpackb(encode(frame)) == body


@given(st.lists(frames, max_size=4), st.lists(st.integers(1, 30), max_size=10))
def test_frames_come_back_however_they_arrive(sent, sizes):
    data = b"".join(map(encode, sent))
    assert Decoder().feed(data) == sent
    one, taken = Decoder(), []
    for byte in data:
        taken += one.feed(bytes([byte]))
    assert taken == sent
    split, taken, at = Decoder(), [], 0
    for size in [*sizes, len(data)]:
        taken += split.feed(data[at : at + size])
        at += size
    assert taken == sent


@given(frames, frames)
def test_a_tail_waits_for_its_rest(first, second):
    tail = encode(second)
    decoder = Decoder()
    assert decoder.feed(encode(first) + tail[:-1]) == [first]
    assert decoder.feed(tail[-1:]) == [second]


@pytest.mark.parametrize(
    "body",
    [
        [],
        7,
        None,
        "text",
        {},
        [3, 1, "x", None],
        [0, 1, "x"],
        [0, "1", "x", None],
        [0, 1, 2, None],
        [1, 1, "error", None],
        [1, 1, ["kind"], None],
        [1, 1, ["kind", 5], None],
        [1, None, None, None],
        [2, "x", None, None],
        [2, b"x", None],
    ],
)
def test_what_is_no_frame(body):
    with pytest.raises(BadFrame):
        Decoder().feed(msgpack.packb(body))


@pytest.mark.parametrize(
    "data", [b"\xc1", b"\x81\x80\x00", b"\x94\x00\x01\xa1\xff\xc0", b"\x91" * 5_000, b"HTTP/1.1 400\r\n"]
)
def test_what_is_no_message_pack(data):
    with pytest.raises(BadFrame):
        Decoder().feed(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_frames_or_refused(data):
    try:
        taken = Decoder().feed(data)
    except BadFrame:
        return
    assert all(isinstance(frame, Request | Response | Notification) for frame in taken)


def test_a_frame_longer_than_the_limit_is_refused_before_it_is_whole():
    decoder = Decoder(limit=1000)
    data = encode(Notification("lines", "x" * 2000))
    assert decoder.feed(data[:900]) == []
    with pytest.raises(BadFrame):
        decoder.feed(data[900:1800])


def test_what_message_pack_has_no_word_for():
    with pytest.raises(TypeError):
        encode(Notification("lines", object()))
