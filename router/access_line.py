"""The router's line in an app's log, to the letter (HEROKU.md 4.4, Router 2.0's form).

Records are made at the end of a request and formatted here in batches. Leaves out the sending (lines.py).
"""

from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from router.reasons import Failure


class Record(NamedTuple):
    """One finished request. `at` microseconds; `connect`, `service` milliseconds; None where not reached."""

    app: str
    at: int
    method: bytes
    target: bytes
    host: str
    request_id: bytes
    fwd: bytes
    dyno: str = ""
    connect: int | None = None
    service: int | None = None
    status: int = 0
    bytes: int | None = None
    failure: Failure | None = None


def rows(records: Iterable[Record]) -> list[list[str | int]]:
    """[app, at, source, process, text] as logplex takes them."""
    return [[record[0], record[1], "heroku", "router", line(record)] for record in records]


def line(record: Record) -> str:
    """Format one record. Quotes and what would break the line stay percent-encoded, so that no client can forge fields."""
    _, _, method, target, host, request_id, fwd, dyno, connect, service, status, size, failure = record
    path = target.decode("latin-1")
    if "%" in path:
        path = decoded(target)
    if '"' in path:
        path = path.replace('"', "%22")
    chain = fwd.decode("latin-1")
    if '"' in chain:
        chain = chain.replace('"', "%22")
    return (
        f'{"at=info" if failure is None else _at(failure)} method={method.decode()} path="{path}" host={host}'
        f' request_id={request_id.decode()} fwd="{chain}" dyno={dyno} connect={"" if connect is None else f"{connect}ms"}'
        f" service={'' if service is None else f'{service}ms'} status={status} bytes={'' if size is None else size}"
        " protocol=http1.1 tls=false"
    )


def _at(failure: Failure) -> str:
    reason = failure.value
    sock = f"sock={reason.sock} " if reason.sock else ""
    cause = f' cause="{reason.cause}"' if reason.cause else ""
    return f'{sock}at={reason.at} code={reason.code} desc="{reason.desc}"{cause}'


def decoded(target: bytes) -> str:
    """Percent-decode a target as Router 2.0 prints it, but never into a control character or a quote."""
    try:
        path = unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return target.decode("latin-1")
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else _encoded(char) for char in path)


def _encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
