"""`dyno metrics`: what came of an app's requests."""

from typing import Any

from dynod.cli import page
from dynod.cli.session import Session

_QUANTILES = ("p50", "p95", "p99", "max")


def _ms(value: int | None) -> str:
    return "" if value is None else f"{value} ms"


def _rows(parts: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["requests", *(str(part["requests"]) for part in parts)]]
    rows += [[name, *(str(part["statuses"][name]) for part in parts)] for name in parts[-1]["statuses"]]
    codes = sorted({code for part in parts for code in part["codes"]})
    rows += [[code, *(str(part["codes"].get(code, 0)) for part in parts)] for code in codes]
    for what in ("service", "connect"):
        rows += [
            [f"{what} {name}", *(_ms(part[f"{what}_ms"][name]) for part in parts)] for name in _QUANTILES
        ]
    rows += [
        [f"bytes {way}", *(page.size(part[f"bytes_{way}"]) or "" for part in parts)] for way in ("in", "out")
    ]
    return rows


def metrics(session: Session) -> None:
    """Two columns: the last minutes, and all since the control plane began to count."""
    said = session.app_call("metrics.router")
    if session.given.on("json"):
        page.as_json(said)
        return
    page.heading(f"{page.app(said['app']['name'])} Requests")
    print(f"In flight: {said['in_flight']}")
    print(f"Since:     {page.since(said['since'])}\n")
    seconds = said["recent"]["seconds"]
    head = ["", f"last {seconds // 60}m {seconds % 60}s", "since then"]
    page.table([head, *_rows([said["recent"], said["total"]])])
