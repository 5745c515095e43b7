"""The router's line in an app's log, to the letter (HEROKU.md 4.4, Router 2.0's form). Pure; lines.py sends it."""

from urllib.parse import unquote_to_bytes

from router.reasons import Failure

PLAIN = "protocol=http1.1 tls=false"


def words(method: bytes, target: bytes, host: str, request_id: bytes, fwd: bytes) -> str:
    """Say what was asked for, and through whom. Quotes and what would break the line stay percent-encoded, so that no client can forge fields."""
    path = target.decode("latin-1")
    if "%" in path:
        path = decoded(target)
    if '"' in path:
        path = path.replace('"', "%22")
    chain = fwd.decode("latin-1").replace('"', "%22")
    return (
        f'method={method.decode()} path="{path}" host={host} request_id={request_id.decode()} fwd="{chain}"'
    )


def line(
    what: str,
    dyno: str,
    connect: int | None,
    service: int | None,
    status: int,
    size: int | None,
    failure: Failure | None,
    protocol: str = PLAIN,
) -> str:
    """Format one finished request, of which `words` were said. `connect`, `service` in milliseconds, None where not reached, as `size`."""
    if failure is None and service is not None:
        return (
            f"at=info {what} dyno={dyno} connect={connect}ms service={service}ms"
            f" status={status} bytes={size} {protocol}"
        )
    at = "at=info" if failure is None else _at(failure)
    said = "" if failure in _NO_STATUS else status
    return (
        f"{at} {what} dyno={dyno} connect={_ms(connect)} service={_ms(service)}"
        f" status={said} bytes={'' if size is None else size} {protocol}"
    )


_NO_STATUS = (Failure.H24, Failure.H33)  # nobody was told one


def _ms(span: int | None) -> str:
    return "" if span is None else f"{span}ms"


def _at(failure: Failure) -> str:
    reason = failure.value
    sock = f"sock={reason.sock} " if reason.sock else ""
    cause = f' cause="{reason.cause}"' if reason.cause else ""
    return f'{sock}at={reason.at} code={reason.code} desc="{reason.desc}"{cause}'


def decoded(target: bytes) -> str:
    """Percent-decode a target as Router 2.0 prints it, but never into a control character."""
    try:
        path = unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        return target.decode("latin-1")
    if path.isprintable():
        return path
    return "".join(char if char.isprintable() else _encoded(char) for char in path)


def _encoded(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())
