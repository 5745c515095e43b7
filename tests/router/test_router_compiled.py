"""The compiled part beside Python: what it takes Python takes, with the same result and the same bytes; what is plain it does take."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dynod.model.route import AppRoute, Standing
from router import compiled, headers, heads
from router.access_line import words
from router.headers import REQUEST_RULES, RESPONSE_RULES, origin_lines
from router.heads import read_response
from router.table import Site

if not compiled.there:
    pytest.skip("heads.c is not compiled (make setup)", allow_module_level=True)

router_heads = pytest.importorskip("router_heads")
PEER = b"10.0.0.1"
ORIGIN = origin_lines(PEER, b"http", 8080)
ID = b"407b828f-ec16-bfef-cff3-25e749e57945"
TIME = b"1234567890123"
SITE = Site(AppRoute("app-id", "app", Standing.SERVING), "a.b", ())

HOSTS = dict.fromkeys((b"a", b"a.b", b"b"), SITE)
PLAIN = b"GET /a?b=%20 HTTP/1.1\r\nHost: a.b\r\nAccept: */*\r\nX-Empty:\r\nX-Utf: \xc3\xa4\tx\r\nCookie: a=1; b=2\r\n\r\n"
POSTED = (
    b"POST / HTTP/1.1\r\nhost:a\r\nConnection: Keep-Alive\r\nContent-Length: 3 \r\nVia: 1.1 cdn\r\nX-Forwarded-For: 1.1.1.1\r\n"
    b"X-Request-Id: abcdefghijklmnopqrst\r\nTE: trailers\r\nX-Forwarded-Proto: https\r\nX-Last:  v \r\n\r\n"
)
ANSWER = (
    b"HTTP/1.1 200 OK\r\nServer: x\r\nDate: Sat, 21 Nov 2026 11:55:10 GMT\r\nConnection: keep-alive\r\nContent-Length: 3\r\n"
    b"Set-Cookie: a\r\nset-cookie: b\r\nVia: 1.1 app\r\n\r\n"
)
CHUNKED = b"HTTP/1.1 404 \r\nTransfer-Encoding: chunked\r\nConnection: close\r\nKeep-Alive: timeout=5\r\n\r\n"


def fields(head) -> dict:
    """All but what the reader itself needed."""
    return {name: getattr(head, name) for name in head.__slots__ if name != "connection"}


def agree_on_request(data: bytes) -> bool:
    """Whether the compiled reader took it."""
    quick = compiled.quick_request(data)
    if quick is None:
        agree_on_body(data)
        return False
    slow = heads._read_request(data)
    assert fields(quick) == fields(slow)
    agree_on_forwarding(data, slow)
    return True


def agree_on_forwarding(data: bytes, slow, host: str = "a.b", peer: bytes = PEER) -> bool:
    """Whether it was taken with its words."""
    site = SITE._replace(host=host)
    origin = origin_lines(peer, b"http", 8080)
    made = router_heads.forward(data, {slow.host: site}, origin, iter([ID]), TIME)
    if slow.length == headers.CHUNKED or slow.method == b"HEAD":
        assert made is None
        return False
    request_id = slow.request_id or ID
    head = headers.dyno_head(slow, origin, request_id, TIME, False)
    before = slow.forwarded_for
    said = words(slow.method, slow.target, host, request_id, before + b", " + peer if before else peer)
    assert made[:4] == (site, request_id, slow.host, head)
    assert made[4] in {None, said}
    assert made[5] is slow.keep_alive
    assert made[6:] == (0, slow.length or 0)
    return made[4] is not None


def agree_on_body(data: bytes) -> bool:
    """Whether a head was taken with the body behind it, or the beginning of one: then as the head alone, and the body as it is."""
    made = router_heads.forward(data, HOSTS, ORIGIN, iter([ID]), TIME)
    if made is None:
        return False
    size = data.index(b"\r\n\r\n") + 4
    alone = router_heads.forward(data[:size], HOSTS, ORIGIN, iter([ID]), TIME)
    there = len(data) - size
    assert there
    assert made == (*alone[:3], alone[3] + data[size:], *alone[4:6], there, alone[7] - there)
    assert made[7] >= 0
    return True


def agree_on_response(data: bytes) -> bool:
    quick = compiled.quick_response(data)
    if quick is None:
        return False
    size = data.index(b"\r\n\r\n") + 4
    slow = read_response(data[:size])
    assert fields(quick) == fields(slow)
    for keep in (False, True):
        answer = router_heads.answer(data, keep, b"Set-Cookie: c\r\n")
        there = len(data) - size
        if slow.length is not None and slow.length >= there and slow.status not in {204, 304}:
            made = headers.client_head(slow, keep, False, b"Set-Cookie: c\r\n", data[size:])
            assert answer == (made, slow.status, slow.keep_alive, slow.length - there)
        else:
            assert answer is None
    return True


@pytest.mark.parametrize(
    "data", [PLAIN, POSTED, POSTED.replace(b"Content-Length: 3 ", b"Transfer-Encoding: Chunked")]
)
def test_a_plain_request_is_taken_whole_not_in_parts_and_not_with_a_tail(data):
    assert agree_on_request(data)
    for at in range(len(data)):
        assert not agree_on_request(data[:at])
    for tail in (b"\r", b"x", data):
        assert not agree_on_request(data + tail)


def test_a_body_goes_with_its_head_as_far_as_it_is_there():
    for length in (0, 1, 3, 16_384, 16_385, 10**17):
        head = POSTED.replace(b"3 ", b"%d " % length)
        for there in (1, 2, 3, 4, 16_383, 16_384, 16_385):
            assert agree_on_body(head + b"\r" * there) is (there <= min(length, 16_384))
    for head in (PLAIN, POSTED.replace(b"Content-Length: 3 ", b"Transfer-Encoding: chunked")):
        assert not agree_on_body(head + b"x")
    assert not agree_on_body(POSTED.replace(b"POST", b"HEAD") + b"abc")


def test_an_answer_of_known_length_is_taken_as_far_as_it_is_there_and_no_other():
    for status in (200, 204, 205, 304, 404, 500):
        data = ANSWER.replace(b"200", b"%d" % status)
        for body in (b"", b"ab", b"abc", b"abcd", b"\r\n\r"):
            assert agree_on_response(data + body)
    assert router_heads.answer(ANSWER + b"abc", False, b"")[1:] == (200, True, 0)
    assert router_heads.answer(ANSWER + b"a", False, b"")[1:] == (200, True, 2)
    assert router_heads.answer(ANSWER.replace(b"keep-alive", b"close") + b"abc", False, b"")[2] is False


@pytest.mark.parametrize("data", [ANSWER, CHUNKED])
def test_a_plain_response_is_taken_whole_and_with_a_body_but_not_in_parts(data):
    assert agree_on_response(data)
    for at in range(len(data)):
        assert router_heads.read_response(data[:at]) is None
    for tail in (b"\r", b"x", data, b"\x00" * 100_000):
        assert agree_on_response(data + tail)
        assert compiled.quick_response(data + tail).size == len(data)


@pytest.mark.parametrize("data", [PLAIN, POSTED])
def test_no_byte_in_any_place_of_a_request_means_something_else(data):
    taken = 0
    for at in range(len(data)):
        for byte in range(256):
            taken += agree_on_request(data[:at] + bytes((byte,)) + data[at + 1 :])
            taken += byte % 16 == 0 and agree_on_request(data[:at] + bytes((byte,)) + data[at:])
    assert taken > 5_000


@pytest.mark.parametrize("data", [ANSWER, CHUNKED])
def test_no_byte_in_any_place_of_a_response_means_something_else(data):
    taken = 0
    for at in range(len(data)):
        for byte in range(256):
            taken += agree_on_response(data[:at] + bytes((byte,)) + data[at + 1 :])
    assert taken > 5_000


VALUES = [
    b"",
    b"x",
    b"3",
    b"03",
    b" 3\t",
    b"close",
    b"Keep-Alive",
    b"upgrade",
    b"chunked",
    b"CHUNKED ",
    b"gzip",
    b"a" * 20,
    b"a" * 201,
    b"1.1 a",
    b"100-continue",
]


@pytest.mark.parametrize("name", [*sorted({*REQUEST_RULES, *RESPONSE_RULES}), b"x-other"])
def test_every_header_with_a_rule_means_the_same_once_and_twice(name):
    assert agree_on_request(b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n")
    for spelling in (name, name.title(), name.upper()):
        for value in VALUES:
            line = spelling + b":" + value + b"\r\n"
            for lines in (line, line * 2, b"Content-Length: 1\r\n" + line, line + b"Content-Length: 1\r\n"):
                agree_on_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + lines + b"X: y\r\n\r\n")
                agree_on_response(b"HTTP/1.1 200 OK\r\n" + lines + b"X: y\r\n\r\n")


@pytest.mark.parametrize("name", [*sorted({*REQUEST_RULES, *RESPONSE_RULES}), b"x-other"])
def test_lookalikes_of_a_name_are_other_names(name):
    for at in range(len(name)):
        for other in (b"-", b"_", b"0", bytes((name[at] ^ 64,)), bytes((name[at] ^ 16,))):
            line = name[:at] + other + name[at + 1 :] + b": close\r\n"
            agree_on_request(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n")
            agree_on_response(b"HTTP/1.1 200 OK\r\n" + line + b"\r\n")


@pytest.mark.parametrize(
    ("most", "more"),
    [
        (b"GET /" + b"a" * (8192 - 14) + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"/a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 8189 + b"\r\n\r\n", b"X: a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-" + b"a" * 998 + b": b\r\n\r\n", b"X-a"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 999 + b"\r\n", b"A: b\r\n"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999999999999\r\n\r\n", b"9"),
    ],
)  # fmt: skip
def test_the_limits_are_the_same_to_the_byte(most, more):
    assert agree_on_request(most)
    assert not agree_on_request(most.replace(more, more + more[-1:] if len(more) < 6 else more * 2, 1))


def test_a_head_with_many_lines_to_cut_is_left_to_python():
    for spare in (b"Keep-Alive: 5\r\n", b"Connection: keep-alive\r\n"):
        for first, agree in (
            (b"GET / HTTP/1.1\r\nHost: a\r\n", agree_on_request),
            (b"HTTP/1.1 200 OK\r\n", agree_on_response),
        ):
            assert agree(first + (spare + b"X: y\r\n") * 15 + b"\r\n")
            for many in (16, 17, 40, 900):
                assert not agree(
                    first + (spare + b"X: y\r\n") * (many // 2) + spare * (many - many // 2) + b"\r\n"
                )


METHODS = ["GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"]


@pytest.mark.parametrize("method", METHODS)
def test_the_usual_methods_are_taken(method):
    assert agree_on_request(b"%b /x HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode())
    assert not agree_on_request(b"%bS /x HTTP/1.1\r\nHost: a\r\n\r\n" % method.encode())


def test_makers_refuse_what_is_no_head_and_no_bytes():
    good = (PLAIN, HOSTS, ORIGIN, iter([ID] * 9), TIME)
    assert router_heads.forward(*good) is not None
    for args in (
        (),
        good[:4],
        (PLAIN, None, *good[2:]),
        (PLAIN, HOSTS, b"x", *good[3:]),
        (PLAIN, HOSTS, ORIGIN.decode(), *good[3:]),
        (PLAIN, HOSTS, ORIGIN, [ID], TIME),
        (PLAIN, HOSTS, ORIGIN, iter(["x"]), TIME),
        (PLAIN, HOSTS, ORIGIN, iter([]), TIME),
        (*good[:4], None),
    ):
        with pytest.raises(TypeError):
            router_heads.forward(*args)
    with pytest.raises(ZeroDivisionError):
        router_heads.forward(PLAIN, HOSTS, ORIGIN, (1 // 0 for _ in "x"), TIME)
    for args in ((), (ANSWER + b"abc", True), (ANSWER + b"abc", True, "")):
        with pytest.raises(TypeError):
            router_heads.answer(*args)
    for broken in (b"", "x", None, bytearray(PLAIN), bytearray(ANSWER)):
        assert router_heads.read_request(broken) is None
        assert router_heads.read_response(broken) is None
        assert router_heads.forward(broken, *good[1:]) is None
        assert router_heads.answer(broken, True, b"") is None
    assert agree_on_request(PLAIN)


def test_a_host_that_was_not_found_yet_is_pythons_to_find():
    for known in ({}, {b"a": SITE}, {b"a.b": None}, {b"a.b": ()}):
        assert router_heads.forward(PLAIN, known, ORIGIN, iter([ID]), TIME) is None


def test_an_id_is_drawn_only_for_a_request_that_is_taken_and_has_none():
    ids = iter([ID, b"second"])
    for data in (PLAIN[:-1], POSTED + b"abcd", PLAIN.replace(b"GET", b"HEAD"), PLAIN.replace(b"a.b", b"c.d")):
        assert router_heads.forward(data, HOSTS, ORIGIN, ids, TIME) is None
    assert router_heads.forward(POSTED, HOSTS, ORIGIN, ids, TIME)[1] == b"abcdefghijklmnopqrst"
    assert router_heads.forward(PLAIN, HOSTS, ORIGIN, ids, TIME)[1] == ID


# -- the beginning of access lines -------------------------------------------------------------------------------------


def agree_on_words(target: bytes = b"/", chain: bytes = b"", host: str = "a.b", peer: bytes = PEER) -> bool:
    lines = b"X-Forwarded-For: " + chain + b"\r\n" if chain else b""
    data = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n"
    return agree_on_request(data) and agree_on_forwarding(data, heads._read_request(data), host, peer)


def test_plain_words_are_the_same_to_the_letter():
    assert agree_on_words(b"/a?b=c&d")
    assert agree_on_words(b"/a", b"1.1.1.1, 2.2.2.2")
    assert agree_on_words(peer=b"2001:db8::1")


def test_no_byte_gets_into_a_line_otherwise():
    taken = 0
    for byte in range(256):
        taken += agree_on_words(b"/a" + bytes((byte,)))
        taken += agree_on_words(chain=b"1" + bytes((byte,)) + b"1")
        taken += agree_on_words(host="a" + chr(byte)) + agree_on_words(host="a" + chr(byte + 256))
    assert taken > 250
    assert not agree_on_words(b"/%20")
    assert not agree_on_words(b'/"')
    assert not agree_on_words(peer=b"fe80::1%eth0")


# -- whatever comes ----------------------------------------------------------------------------------------------------

_names = st.sampled_from([*REQUEST_RULES, *RESPONSE_RULES, b"X-A", b"Cookie", b"Accept", b"Set-Cookie", b""])
_values = st.one_of(st.sampled_from(VALUES), st.binary(max_size=12))
_ends = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\r\n ", b""])
_lines = st.lists(
    st.builds(
        lambda n, c, v, e: n + c + v + e, _names, st.sampled_from([b":", b": ", b" :"]), _values, _ends
    ),
    max_size=8,
)
_starts = st.sampled_from(
    [
        b"GET / HTTP/1.1\r\n",
        b"POST /a?b#c HTTP/1.1\r\n",
        b"GET / HTTP/1.0\r\n",
        b"PUT http://a/ HTTP/1.1\r\n",
        b"OPTIONS * HTTP/1.1\r\n",
    ]
)
_firsts = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 304 \r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 101 x\r\n",
        b"HTTP/1.1 999 x\r\n",
    ]
)


@settings(max_examples=400)
@given(_starts, _lines, st.booleans())
@example(b"GET / HTTP/1.1\r\n", [b"connection: keep-alive\r\n", b"Connection: close\r\n"], True)
@example(
    b"GET / HTTP/1.1\r\n",
    [b"via:\r\n", b"Via: a\r\n", b"x-forwarded-for:\r\n", b"x-forwarded-for: 1\r\n"],
    True,
)
def test_lines_of_all_kinds_make_no_difference_in_requests(start, lines, host):
    agree_on_request(start + (b"Host: a\r\n" if host else b"") + b"".join(lines) + b"\r\n")


@settings(max_examples=400)
@given(_firsts, _lines, st.binary(max_size=8))
def test_lines_of_all_kinds_make_no_difference_in_responses(start, lines, body):
    agree_on_response(start + b"".join(lines) + b"\r\n" + body)


@settings(max_examples=400)
@given(
    st.sampled_from([PLAIN, POSTED, ANSWER, CHUNKED]),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3)), max_size=4),
)
def test_heads_with_holes_and_patches_make_no_difference(data, patches):
    for at, patch, hole in patches:
        data = data[:at] + patch + data[at + hole :]
    agree_on_request(data)
    agree_on_response(data)
