"""The compiled part beside Python: what it takes Python takes, with the same result and the same bytes; what is plain it does take."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from router import compiled, headers, heads
from router.access_line import chain, line, subject
from router.headers import REQUEST_RULES, RESPONSE_RULES, origin_lines
from router.heads import read_response

if not compiled.there:
    pytest.skip("heads.c is not compiled (make setup)", allow_module_level=True)

router_heads = pytest.importorskip("router_heads")
ORIGIN = origin_lines(b"10.0.0.1", b"http", 8080)
ID = b"407b828f-ec16-bfef-cff3-25e749e57945"
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
    quick = router_heads.read_request(data)
    if quick is None:
        return False
    slow = heads._read_request(data)
    assert fields(quick) == fields(slow)
    for close in (False, True):
        made = router_heads.dyno_head(quick, ORIGIN, ID, b"1234567890123", close)
        assert made == headers.dyno_head(slow, ORIGIN, ID, b"1234567890123", close)
    return True


def agree_on_response(data: bytes) -> bool:
    quick = router_heads.read_response(data)
    if quick is None:
        return False
    size = data.index(b"\r\n\r\n") + 4
    slow = read_response(data[:size])
    assert fields(quick) == fields(slow)
    for keep in (False, True):
        whole = router_heads.whole_answer(data, keep, b"Set-Cookie: c\r\n")
        if slow.length is not None and slow.length == len(data) - size and slow.status not in {204, 304}:
            made = headers.client_head(slow, keep, False, b"Set-Cookie: c\r\n", data[size:])
            assert whole == (made, slow.status, slow.keep_alive)
        else:
            assert whole is None
    return True


@pytest.mark.parametrize(
    "data", [PLAIN, POSTED, POSTED.replace(b"Content-Length: 3 ", b"Transfer-Encoding: Chunked")]
)
def test_a_plain_request_is_taken_whole_not_in_parts_and_not_with_a_tail(data):
    assert agree_on_request(data)
    for at in range(len(data)):
        assert router_heads.read_request(data[:at]) is None
    for tail in (b"\r", b"x", data):
        assert router_heads.read_request(data + tail) is None


def test_a_whole_answer_is_taken_and_no_other():
    for status in (200, 204, 205, 304, 404, 500):
        data = ANSWER.replace(b"200", b"%d" % status)
        for body in (b"", b"ab", b"abc", b"abcd", b"\r\n\r"):
            assert agree_on_response(data + body)
    assert router_heads.whole_answer(ANSWER + b"abc", False, b"")[1:] == (200, True)
    assert router_heads.whole_answer(ANSWER.replace(b"keep-alive", b"close") + b"abc", False, b"")[2] is False


@pytest.mark.parametrize("data", [ANSWER, CHUNKED])
def test_a_plain_response_is_taken_whole_and_with_a_body_but_not_in_parts(data):
    assert agree_on_response(data)
    for at in range(len(data)):
        assert router_heads.read_response(data[:at]) is None
    for tail in (b"\r", b"x", data, b"\x00" * 100_000):
        assert agree_on_response(data + tail)
        assert router_heads.read_response(data + tail).size == len(data)


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


@pytest.mark.parametrize(
    "lines",
    [
        b"Connection: upgrade\r\nUpgrade: websocket\r\n",
        b"Expect: 100-continue\r\n",
        b"Via: a\r\nVia: b\r\n",
        b"",
    ],
)
def test_a_head_that_python_read_is_made_anew_the_same(lines):
    head = heads._read_request(b"GET http://a/x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n")
    for close in (False, True):
        made = router_heads.dyno_head(head, ORIGIN, ID, b"1", close)
        assert made == headers.dyno_head(head, ORIGIN, ID, b"1", close)


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
    head = router_heads.read_request(PLAIN)
    for args in (
        (),
        (head,),
        (None, ORIGIN, ID, b"1", False),
        (head, b"x", ID, b"1", False),
        (head, ORIGIN, "x", b"1", False),
        (head, ORIGIN, ID, None, False),
    ):
        with pytest.raises(TypeError):
            router_heads.dyno_head(*args)
    for args in ((), (ANSWER + b"abc", True), (ANSWER + b"abc", True, "")):
        with pytest.raises(TypeError):
            router_heads.whole_answer(*args)
    for args in ((), (None, *LOGGED[1:]), LOGGED[1:]):
        with pytest.raises(TypeError):
            router_heads.access_line(*args)
    for name in ("method", "target", "lines"):
        head = router_heads.read_request(PLAIN)
        delattr(head, name)
        with pytest.raises(TypeError):
            router_heads.dyno_head(head, ORIGIN, ID, b"1", False)
    for broken in (b"", "x", None, bytearray(PLAIN), bytearray(ANSWER)):
        assert router_heads.read_request(broken) is None
        assert router_heads.read_response(broken) is None
        assert router_heads.whole_answer(broken, True, b"") is None
    with pytest.raises(TypeError):
        router_heads.learn(int)
    assert agree_on_request(PLAIN)


# -- access lines ------------------------------------------------------------------------------------------------------

LOGGED = (
    router_heads.read_request(PLAIN),
    "a.b",
    ID,
    b"10.0.0.1",
    "web.1",
    0,
    17,
    200,
    123,
    "protocol=http1.1 tls=false",
)


def agree_on_line(head, host, *more) -> bool:
    quick = router_heads.access_line(head, host, *more)
    if quick is None:
        return False
    request_id, peer, dyno, connect, service, status, size, protocol = more
    before = head.forwarded_for
    fwd = chain(before + b", " + peer if before else peer)
    assert quick == line(
        subject(head.method, head.target, host),
        request_id,
        fwd,
        dyno,
        connect,
        service,
        status,
        size,
        None,
        protocol,
    )
    return True


def heads_with(target: bytes = b"/", forwarded_for: bytes = b""):
    head = heads.RequestHead()
    head.method, head.target, head.forwarded_for = b"GET", target, forwarded_for
    return head


def test_a_plain_line_is_the_same_to_the_letter():
    assert agree_on_line(heads_with(b"/a?b=c&d"), *LOGGED[1:])
    assert agree_on_line(heads_with(b"/a", b"1.1.1.1, 2.2.2.2"), *LOGGED[1:])
    for number in (0, 9, 10, 12345, 2**31, 2**63 - 1):
        assert agree_on_line(heads_with(), *LOGGED[1:5], number, number, number, number, LOGGED[9])
    for number in (None, -1, 2**63, 1.0, True):
        assert not agree_on_line(heads_with(), *LOGGED[1:5], number, *LOGGED[6:])


def test_no_byte_gets_into_a_line_otherwise():
    taken = 0
    for byte in range(256):
        for head in (heads_with(b"/a" + bytes((byte,))), heads_with(b"/", b"1" + bytes((byte,)))):
            taken += agree_on_line(head, *LOGGED[1:])
        for host in ("a" + chr(byte), "a" + chr(byte + 256)):
            taken += agree_on_line(heads_with(), host, *LOGGED[2:])
    assert taken > 250
    assert not agree_on_line(heads_with(b"/%20"), *LOGGED[1:])
    assert not agree_on_line(heads_with(b'/"'), *LOGGED[1:])


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
