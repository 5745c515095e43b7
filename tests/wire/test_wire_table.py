"""dynod.wire.table: a routing table comes back equal, and anything else is refused."""

import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.model.route import AppRoute, Backend, Limits, RouteTable, Standing
from dynod.wire.table import STEP, BadTable, Decoder, Encoder, change, changed, decode, encode

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
backends = st.builds(Backend, texts, texts, texts, st.integers(0, 65535))
routes = st.builds(
    AppRoute,
    texts,
    texts,
    st.sampled_from(Standing),
    st.lists(backends, max_size=3).map(tuple),
    texts,
    texts,
    st.frozensets(texts, max_size=3),
)
counts, spans = st.integers(0, 2**63), st.none() | st.floats(0.1, 1e6)
limits = st.builds(Limits, counts, counts, counts, counts, spans, spans, spans)
tables = st.builds(
    RouteTable,
    st.integers(0, 2**63),
    st.lists(routes, max_size=4).map(lambda found: {route.app: route for route in found}),
    st.dictionaries(texts, texts, max_size=4),
    limits,
)


@given(tables)
def test_a_table_comes_back_equal(table):
    assert decode(encode(table)) == table


@given(st.lists(tables, max_size=4))
def test_who_remembers_the_last_table_writes_and_reads_the_same_as_who_does_not(story):
    """Most changes are one app's, so the others are neither packed nor read again."""
    encoder, decoder = Encoder(), Decoder()
    for table in story:
        data = encoder.encode(table)
        assert data == encode(table)
        assert decoder.decode(data) == table


def test_an_app_that_did_not_change_is_not_packed_again():
    encoder = Encoder()
    table = RouteTable(1, {"a": AppRoute("a", "a", Standing.IDLE)})
    assert encoder.encode(table) == encode(table)
    packed = encoder._apps["a"]
    assert encoder.encode(table) == encode(table)
    assert encoder._apps["a"] is packed


def test_apps_that_did_not_change_are_the_same_values_as_before():
    """So that who routes by them can tell without looking inside."""
    decoder = Decoder()
    a, b = (AppRoute(name, name, Standing.SERVING, (Backend("i", "web.1", "x", 1),)) for name in "ab")
    first = decoder.decode(encode(RouteTable(1, {"a": a, "b": b})))
    with contextlib.suppress(BadTable):
        decoder.decode(b"nonsense")
    second = decoder.decode(encode(RouteTable(2, {"a": a, "b": AppRoute("b", "b", Standing.CRASHED)})))
    assert second.apps["a"] is first.apps["a"]
    assert second.apps["b"].standing is Standing.CRASHED


def test_the_same_table_has_the_same_bytes():
    route = AppRoute("a", "demo", Standing.SERVING, features=frozenset({"b", "a", "c"}))
    again = AppRoute("a", "demo", Standing.SERVING, features=frozenset({"c", "b", "a"}))
    assert encode(RouteTable(1, {"a": route})) == encode(RouteTable(1, {"a": again}))


@given(tables)
def test_a_cut_or_lengthened_table_is_refused(table):
    data = encode(table)
    for bad in (data[:-1], data[: len(data) // 2], b"", data + b"\0"):
        with pytest.raises(BadTable):
            decode(bad)


GOOD = ["a", "demo", "serving", [["i", "web.1", "10.0.0.1", 5000]], "", "", []]


def test_the_sample_is_good():
    assert decode(msgpack.packb([1, 5, [GOOD], {"demo.localhost": "a"}])).apps["a"].name == "demo"


def test_a_table_of_an_older_control_plane_limits_nothing():
    assert decode(msgpack.packb([1, 5, [GOOD], {}])).limits == Limits()


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        7,
        [2, 5, [], {}],
        [1, 5, None, {}],
        [1, 5, [7], {}],
        [1, 5, [GOOD[:-1]], {}],
        [1, 5, [[*GOOD[:2], "sleepy", *GOOD[3:]]], {}],
        [1, 5, [[*GOOD[:3], [["too", "short"]], *GOOD[4:]]], {}],
        [1, 5, [[*GOOD[:3], None, *GOOD[4:]]], {}],
        [1, 5, [[*GOOD[:6], [[]]]], {}],
        [1, 5, [[[], *GOOD[1:]]], {}],
        [1, 5, [GOOD], 7],
        [1, 5, [GOOD], None],
        [1, "5", [GOOD], {}],
        [1, 5, [GOOD], {}, None],
        [1, 5, [GOOD], {}, [1] * 8],
        [1, 5, [GOOD], {}, ["50"]],
        [1, 5, [GOOD], {}, [1, 1, 1, 1, "30"]],
        [1, 5, [GOOD], {}, [], []],
    ],
)
def test_what_is_no_table(body):
    with pytest.raises(BadTable):
        decode(msgpack.packb(body))


@given(st.binary(max_size=80))
def test_any_bytes_are_a_table_or_refused(data):
    with contextlib.suppress(BadTable):
        assert isinstance(decode(data), RouteTable)


@given(tables, tables)
def test_a_change_makes_the_next_table_of_the_one_before(before, after):
    made = changed(before, change(before, after))
    assert made == after
    assert all(made.apps[id] is app for id, app in before.apps.items() if after.apps.get(id) is app)


def test_a_change_says_only_what_is_different():
    apps = {name: AppRoute(name, name, Standing.SERVING) for name in ("a", "b", "c")}
    before = RouteTable(1, apps, {name: name for name in apps})
    after = RouteTable(2, {**apps, "b": AppRoute("b", "b", Standing.CRASHED)}, before.hosts)
    said = msgpack.unpackb(change(before, after))
    assert [row[0] for row in said[3]] == ["b"]
    assert said[4:7] == [[], {}, []]


@pytest.mark.parametrize(
    "body",
    [
        None,
        7,
        [],
        [2, 1, 2, [], [], {}, [], []],
        [1, 9, 2, [], [], {}, [], []],
        [1, 1, "2", [], [], {}, [], []],
        [1, 1, 2, [GOOD[:-1]], [], {}, [], []],
        [1, 1, 2, [], ["nobody"], {}, [], []],
        [1, 1, 2, [], [], {}, ["nowhere"], []],
        [1, 1, 2, [], [], {}, [], ["fifty"]],
        [1, 1, 2, [], [], 5, [], []],
    ],
)
def test_what_is_no_change_of_this_table(body):
    good = [1, 1, 2, [GOOD], [], {}, [], []]
    assert changed(RouteTable(1), msgpack.packb(good)).apps["a"].name == "demo"
    with pytest.raises(BadTable):
        changed(RouteTable(1), msgpack.packb(body))


def test_a_large_table_is_read_a_few_rows_at_a_time():
    count = 3 * STEP
    apps = {f"{n}": AppRoute(f"{n}", "x", Standing.IDLE) for n in range(count)}
    reading = Decoder().decoding(encode(RouteTable(1, apps, {f"h{n}": f"{n}" for n in range(count)})))
    steps = sum(1 for _ in reading)
    assert steps == 6
