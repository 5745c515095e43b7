"""Releases and rollback."""

import sys
from collections.abc import Iterable
from typing import Any

from dynod.cli import page
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused

_STATUS = {
    "expired": "release expired",
    "failed": "release command failed",
    "pending": "release command executing",
}


def _all(session: Session) -> list[dict[str, Any]]:
    return sorted(session.app_call("releases.list"), key=lambda row: -int(row["version"]))


def releases(session: Session) -> None:
    """As `heroku releases`."""
    count = session.given.number("num", 15)
    every = _all(session)
    rows = every[:count]
    if session.given.on("json"):
        page.as_json(rows)
        return
    if not rows:
        print(f"{page.app(session.app)} has no releases.")
        return
    current = next((row for row in every if row["current"]), None)
    tail = f" - Current: v{current['version']}" if current else ""
    page.heading(f"{page.app(session.app)} Releases{tail}")
    page.table([_row(row) for row in rows])


def _row(row: dict[str, Any]) -> list[str]:
    status = _STATUS.get(row["status"], "")
    description = f"{row['description']} {status}".rstrip()
    return [f"v{row['version']}", description, row["user"]["email"], page.since(row["created_at"])]


def _one(session: Session) -> dict[str, Any]:
    if session.given.words:
        found: dict[str, Any] = session.app_call("releases.info", release=session.given.words[0])
        return found
    return _all(session)[0]


def info(session: Session) -> None:
    """As `heroku releases:info`."""
    row = _one(session)
    if session.given.on("json"):
        page.as_json(row)
        return
    config = session.app_call("config.of-release", release=f"v{row['version']}")
    status = _STATUS.get(row["status"], "")
    page.heading(f"Release v{row['version']}")
    page.pairs(
        {
            "Add-ons": row["addon_plan_names"] or None,
            "By": row["user"]["email"],
            "Change": row["description"] + (f" ({status})" if status else ""),
            "Eligible for Rollback?": "Yes" if row["eligible_for_rollback"] else "No",
            "When": row["created_at"],
        }
    )
    print()
    page.heading(f"v{row['version']} Config vars")
    (page.shell if session.given.on("shell") else page.pairs)(config)


def stream_out(chunks: Iterable[Any]) -> None:
    """Write bytes to stdout as they come."""
    for chunk in chunks:
        sys.stdout.buffer.write(chunk if isinstance(chunk, bytes) else str(chunk).encode())
        sys.stdout.buffer.flush()


def output(session: Session) -> None:
    """As `heroku releases:output`."""
    row = _one(session)
    if not row["output_stream_url"]:
        page.warn(f"Release v{row['version']} has no release output available.")
        return
    stream_out(session.app_stream("releases.output", release=f"v{row['version']}"))


def _target(session: Session) -> dict[str, Any]:
    if session.given.words:
        return _one(session)
    older = [row for row in _all(session) if row["eligible_for_rollback"] and not row["current"]]
    current = next((row for row in _all(session) if row["current"]), None)
    for row in older:
        if current is None or int(row["version"]) < int(current["version"]):
            return row
    raise Refused(
        Refusal.INVALID, f"cannot roll {session.app} back: it has no earlier release that could run"
    )


def rollback(session: Session) -> None:
    """As `heroku rollback`."""
    target = _target(session)
    with page.action(f"Rolling back {page.app(session.app)} to v{target['version']}") as doing:
        made = session.app_call("releases.create", {"release": target["id"]})
        doing.says = f"done, v{made['version']}"
    page.warn("Rollback affects code and config vars; it doesn't add or remove addons.")
    page.warn(f"To undo, run: dyno rollback v{int(made['version']) - 1}")
    if made["output_stream_url"]:
        print("Running release command...")
        stream_out(session.app_stream("releases.output", release=f"v{made['version']}"))
