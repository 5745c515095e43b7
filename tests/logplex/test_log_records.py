"""dynod.logplex.records: what was written is read, whatever was torn off behind it."""

import struct
import zlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.logplex.records import LONGEST, Marks, Record, encode, scan

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
numbers = st.integers(0, 2**60)
records = st.one_of(
    st.builds(Record, numbers, texts, texts, texts, texts, numbers),
    st.builds(Marks, numbers, st.dictionaries(texts, numbers, max_size=3)),
)


@given(st.lists(records, max_size=5), st.binary(max_size=20))
def test_records_come_back_and_a_torn_one_is_left_out(written, torn):
    data = b"".join(map(encode, written))
    assert scan(data) == (written, len(data))
    for cut in range(len(data)):
        found, good = scan(data[:cut])
        assert found == written[: len(found)]
        assert good == sum(len(encode(record)) for record in found)
    found, good = scan(data + torn)
    assert (found[: len(written)], good >= len(data)) == (written, True)


def framed(body, crc=None, length=None):
    head = struct.pack(
        "<II", len(body) if length is None else length, zlib.crc32(body) if crc is None else crc
    )
    return head + body


@pytest.mark.parametrize(
    "bad",
    [
        bytes(64),
        framed(b"\xc1"),
        framed(msgpack.packb("hello")),
        framed(msgpack.packb([1, "app", "web.1", "text"])),
        framed(msgpack.packb([1, {}]) + b"\0"),
        framed(msgpack.packb([1, {}]), crc=7),
        framed(b"x", length=LONGEST + 1),
    ],
)
def test_what_is_no_record_ends_the_file(bad):
    good = encode(Record(1, "app", "web.1", "text"))
    assert scan(good + bad + good) == ([Record(1, "app", "web.1", "text")], len(good))
