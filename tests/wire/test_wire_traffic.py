"""Counts of requests as rows, and what is none."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.model.traffic import MOST_BUCKETS, Latency, Traffic
from dynod.wire.traffic import BadTraffic, read, row

COUNTS = st.integers(0, 2**40)
LATENCIES = st.builds(
    Latency, st.dictionaries(st.integers(0, MOST_BUCKETS - 1), COUNTS, max_size=5), COUNTS, COUNTS
)
TRAFFIC = st.builds(
    Traffic,
    st.dictionaries(st.integers(100, 599), COUNTS, max_size=4),
    st.dictionaries(st.sampled_from(("H12", "H18", "none")), COUNTS),
    COUNTS,
    COUNTS,
    LATENCIES,
    LATENCIES,
)
GOOD = ["app", {200: 1}, {"H12": 1}, [1, 2], [{3: 1}, 3, 3], [{}, 0, 0]]


@given(TRAFFIC)
def test_what_is_written_is_read_back(traffic):
    packed = msgpack.packb(row("app", traffic))
    assert read(msgpack.unpackb(packed, strict_map_key=False)) == ("app", traffic)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, 1),
        (1, {"x": 1}),
        (1, {1000: 1}),
        (1, {200: -1}),
        (1, {200: "many"}),
        (1, []),
        (2, {1: 1}),
        (2, {"no code": 1}),
        (2, {"H12": -1}),
        (3, [1]),
        (3, [-1, 0]),
        (4, [{MOST_BUCKETS: 1}, 1, 1]),
        (4, [{-1: 1}, 1, 1]),
        (4, [{"a": 1}, 1, 1]),
        (4, [{1: -1}, 1, 1]),
        (5, [{}, -1, 0]),
        (5, None),
    ],
)
def test_what_is_no_count_is_refused(place, value):
    read(GOOD)
    with pytest.raises(BadTraffic):
        read([*GOOD[:place], value, *GOOD[place + 1 :]])


def test_another_shape_is_refused():
    for bad in (None, [], GOOD[:-1], [*GOOD, 1], {"app": 1}):
        with pytest.raises(BadTraffic):
            read(bad)
