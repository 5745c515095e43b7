"""Builds: what was pushed, and what the slug compiler said."""

from typing import Any

from dynod.cli import page
from dynod.cli.releases import stream_out
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def _all(session: Session) -> list[dict[str, Any]]:
    return sorted(session.app_call("builds.list"), key=lambda row: str(row["created_at"]), reverse=True)


def _one(session: Session) -> dict[str, Any]:
    if session.given.words:
        found: dict[str, Any] = session.app_call("builds.info", build=session.given.words[0])
        return found
    rows = _all(session)
    if not rows:
        raise Refused(Refusal.NOT_FOUND, f"cannot find a build of {session.app}: nothing was pushed yet")
    return rows[0]


def _commit(row: dict[str, Any]) -> str:
    return str(row["source_blob"].get("version") or "")[:8]


def builds(session: Session) -> None:
    """List builds."""
    rows = _all(session)
    if session.given.on("json"):
        page.as_json(rows)
    elif not rows:
        print(f"{page.app(session.app)} has no builds.")
    else:
        page.heading(f"{page.app(session.app)} Builds")
        page.table(
            [
                [row["id"], row["status"], _commit(row), row["user"]["email"], page.since(row["created_at"])]
                for row in rows
            ]
        )


def info(session: Session) -> None:
    """Show a build."""
    row = _one(session)
    if session.given.on("json"):
        page.as_json(row)
        return
    page.heading(f"Build {row['id']}")
    page.pairs(
        {
            "By": row["user"]["email"],
            "Commit": _commit(row) or None,
            "Stack": row["stack"],
            "Status": row["status"],
            "When": page.since(row["created_at"]),
        }
    )


def output(session: Session) -> None:
    """Print a build's transcript, live while it runs."""
    stream_out(session.app_stream("builds.output", build=_one(session)["id"]))
