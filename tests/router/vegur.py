"""vegur's own list of cases (its Common Test suites), and what the tests that tick them off share.

Each case is a row with its name as id, or a function `test_<group>_<case>`; test_vegur_list.py sees to it that none is missing. Where we are
stricter than vegur, or Router 2.0 differs from it, the test says what we do and docs/router.md why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.router.routing import FakeDyno, running, table

CASES = {
    "continue": "back_and_forth body_timeout non_terminal continue_upgrade_httpbis upgrade_no_continue terminal_no_continue_partial "
    "terminal_no_continue_complete no_expect_continue http_1_0_continue unknown_expect bad_syntax_expect bypass",
    "headers": "duplicate_different_lengths_req duplicate_different_lengths_resp duplicate_csv_lengths_req duplicate_csv_lengths_resp "
    "duplicate_identical_lengths_req duplicate_identical_lengths_resp delete_hop_by_hop response_cookie_limits response_header_line_limits "
    "response_status_limits via via_chain bad_status preserve_case header_order host_nofold host_conflict",
    "http_1_0": "advertise_1_1 conn_close_default conn_keepalive_opt chunked_to_1_0",
    "chunked": "passthrough passthrough_short_crlf passthrough_early_0length partial_early_0length1 partial_early_0length2 "
    "partial_early_0length3 interrupted_client interrupted_server bad_chunk trailers trailers_close trailers_client_err trailers_serv_err "
    "trailers_no_header",
    "body_less": "head_small head_large head_no_body head_chunked head_close_expect head_close_expect_client status_204 status_304 "
    "status_chunked_204 status_close_304 status_close_304_client bad_transfer_encoding valid_status_204 valid_status_304 valid_head",
    "large_body": "stream close close_delimited request_interrupts response_interrupts weird_content_length",
    "backend_close": "1 2 3 4 5",  # vegur has so many; their names are not in our list
    "backend_keepalive": "1 2 3 4 5 6 7 8 9 10 11 12",
    "proxy": "request_id forwarded_for via connect_time_header start_time_header route_time_header host query_string content_length "
    "no_content_length custom_downstream_headers service_try_again response_attributes request_statistics request_keepalive_statistics "
    "websockets",
    "request": "no_host empty_host empty_expect url_limits header_line_limits header_count_limits invalid_expect absolute_uri "
    "herokuapp_redirect maintainance_mode_on upgrade_invalid upgrade_websockets no_route backlog_timeout backlog_too_deep conn_limit_reached "
    "route_lookup_failed no_web_processes crashed backends_quarantined backends_starting backends_idle app_blank app_not_found "
    "app_lookup_failed",
    "client": "missing_reason_phrase deliberate_reason_phrase blank_reason_phrase order_preservation first_read_timeout other_read_timeout",
}  # fmt: skip

HOST = b"Host: app.localhost\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(lines: bytes = b"", start: bytes = b"GET / HTTP/1.1", body: bytes = b"") -> bytes:
    return start + b"\r\n" + HOST + lines + b"\r\n" + body


def post(lines: bytes = b"", body: bytes = b"") -> bytes:
    return get(lines, b"POST / HTTP/1.1", body)


@dataclass(frozen=True)
class Row:
    """One request and its answer: what goes in on both sides, what comes out on both, and what becomes of the connections."""

    case: str
    send: bytes
    reply: bytes = OK
    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str | None] = field(default_factory=dict)  # None: not there
    dyno: tuple[bytes, ...] = ()  # what the dyno gets, among other things
    never: tuple[bytes, ...] = ()  # what it does not get
    reads: int = 0  # bytes of a body that the dyno reads before it answers
    goes_on: bool = True  # whether the client's connection does
    hangs_up: bool = False  # the dyno, after its answer
    connections: int | None = None  # to the dyno, after a second request
    code: str = ""
    interim: tuple[int, ...] = ()
    features: frozenset[str] = frozenset()


async def play(row: Row) -> None:
    """Let it happen through real sockets; a second request shows what became of the connections."""
    bodies = []

    async def answer(head, reader, writer):
        if dyno.heads[1:]:
            writer.write(OK)
            return True
        if row.reads:
            bodies.append(await reader.readexactly(row.reads))
        writer.write(row.reply)
        return not row.hangs_up

    dyno = FakeDyno(answer)
    backend = await dyno.open()
    async with running(table(backend, features=row.features)) as house, await house.connect() as connection:
        connection.writer.write(row.send)
        for status in row.interim:
            assert (await connection.head()).status == status
        response = await connection.response(head_only=row.send.startswith(b"HEAD"))
        got = b"".join([*dyno.heads[:1], *bodies])
        assert (response.status, response.body) == (row.status, row.body) or row.code
        assert response.status == row.status
        for name, value in row.headers.items():
            assert response.get(name) == value, name
        for piece in row.dyno:
            assert piece in got, got
        for piece in row.never:
            assert piece.lower() not in got.lower(), got
        line = (await house.logplex.wait(1))[0][4] if dyno.heads or row.code else ""
        assert f" code={row.code} " in line if row.code else " code=" not in line
        if row.goes_on:
            assert response.get("Connection") == "keep-alive"
            assert (await connection.ask()).body == b"ok"
            if row.connections is not None:
                assert dyno.connections == row.connections
        else:
            if not connection.writer.transport.is_closing():
                connection.writer.write_eof()
            assert await connection.closed() in {b"", b"reset"}
