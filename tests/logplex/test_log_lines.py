"""dynod.logplex.lines: where lines end, whole, byte by byte, with a tail, and from any line's offset on."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dynod.logplex.lines import Splitter, harmless, lines_of
from dynod.model.log import LINE_BYTES

LONG = b"x" * LINE_BYTES

SAMPLES = [
    (b"", []),
    (b"hello\n", ["hello"]),
    (b"a\nb\n", ["a", "b"]),
    (b"\n\n", ["", ""]),
    (b"a\r\nb\r\n", ["a", "b"]),
    (b"no end", ["no end"]),
    (b"no end\r", ["no end"]),
    (b"a\rb\n", ["a\ufffdb"]),
    (b"tab\tand \x1b[31mred\x1b[0m\n", ["tab\tand \x1b[31mred\x1b[0m"]),
    (b"nul\0bell\x07del\x7f\n", ["nul\ufffdbell\ufffddel\ufffd"]),
    ("C1 \x9b, NEL \x85\n".encode(), ["C1 \ufffd, NEL \ufffd"]),
    (b"broken \xff utf\xe2\x82\n", ["broken \ufffd utf\ufffd"]),
    ("wörld ☃\n".encode(), ["wörld ☃"]),
    (LONG + b"\n", [LONG.decode()]),
    (LONG + b"\r\n", [LONG.decode()]),
    (LONG, [LONG.decode()]),
    (LONG + b"y\n", [LONG.decode(), "y"]),
    (LONG + b"y\r\n", [LONG.decode(), "y"]),
    (LONG + b"y", [LONG.decode(), "y"]),
    (LONG * 2 + b"\n", [LONG.decode()] * 2),
    (LONG * 2 + b"z\nnext\n", [LONG.decode()] * 2 + ["z", "next"]),
    (b"x" * (LINE_BYTES - 1) + "é".encode() + b"\n", ["x" * (LINE_BYTES - 1), "é"]),
    (b"x" * (LINE_BYTES - 2) + "☃!".encode(), ["x" * (LINE_BYTES - 2), "☃!"]),
    (b"x" * (LINE_BYTES - 3) + "\U0001f980".encode() + b"\n", ["x" * (LINE_BYTES - 3), "\U0001f980"]),
    (b"\x80" * (LINE_BYTES + 2) + b"\n", ["\ufffd" * LINE_BYTES, "\ufffd\ufffd"]),
]


def split(data, sizes=None, offset=0):
    """Feed `data` in pieces of the given sizes, end it, and return lines with their offsets."""
    splitter = Splitter(offset)
    lines, at = [], 0
    for size in sizes or [len(data)]:
        lines += splitter.feed(data[at : at + size])
        at += size
        assert splitter.read == offset + min(at, len(data))
    lines += splitter.feed(data[at:]) + splitter.end()
    assert splitter.offset == splitter.read == offset + len(data)
    return lines


@pytest.mark.parametrize(("data", "expected"), SAMPLES)
def test_samples_whole_byte_by_byte_and_with_a_tail(data, expected):
    whole = split(data)
    assert [text for text, _ in whole] == expected
    assert split(data, [1] * len(data)) == whole
    if data.endswith(b"\n"):
        tailed = split(data + b"tail")
        assert tailed == [*whole, ("tail", len(data) + 4)]


def naive(data):
    """The same, slow and obvious: each line by itself, each piece by itself."""
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    out = []
    for line in lines:
        line = line.removesuffix(b"\r")  # noqa: PLW2901
        while len(line) > LINE_BYTES:
            cut = LINE_BYTES
            while cut > LINE_BYTES - 3 and 0x80 <= line[cut] < 0xC0:
                cut -= 1
            cut = LINE_BYTES if 0x80 <= line[cut] < 0xC0 else cut
            out.append(line[:cut])
            line = line[cut:]  # noqa: PLW2901
        out.append(line)
    return [harmless(piece.decode("utf-8", "replace")) for piece in out]


streams = st.lists(
    st.one_of(
        st.binary(max_size=30),
        st.sampled_from(
            [b"\n", b"\r\n", b"\r", LONG, LONG[:-1], LONG[:-2], "☃".encode(), b"\x80\x80\x80\x80"]
        ),
    ),
    max_size=12,
).map(b"".join)


@given(streams, st.lists(st.integers(1, 12_000), max_size=8))
# Four of them lie across the cut, one more than any character has.
@example(b"x" * (LINE_BYTES - 3) + b"\x80" * 5, [])
def test_arrival_does_not_matter_and_a_naive_twin_agrees(data, sizes):
    lines = split(data, sizes)
    assert lines == split(data)
    assert [text for text, _ in lines] == naive(data)


@given(streams)
def test_a_second_splitter_goes_on_from_any_line(data):
    lines = split(data)
    for index, (_, offset) in enumerate(lines):
        assert split(data[offset:], offset=offset) == lines[index + 1 :]


@given(streams)
def test_offsets_grow(data):
    offsets = [offset for _, offset in split(data)]
    assert offsets == sorted(set(offsets))


def test_a_text_that_came_whole_has_at_least_one_line():
    assert lines_of("") == [""]
    assert lines_of("a\nb") == ["a", "b"]
    assert lines_of("a\n") == ["a"]
    assert lines_of("lone \ud800 surrogate") == ["lone ? surrogate"]
    assert lines_of("x" * LINE_BYTES + "yz") == ["x" * LINE_BYTES, "yz"]
