"""`dyno why` and `dyno autopsy`: why dynos started and stopped, and how they ended."""

from datetime import datetime

from dynod.cli import page
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def why(session: Session) -> None:
    """One line for each start and stop, the newest last."""
    dyno, number = session.given.words[0], session.given.number("num", 30)
    rows = session.app_call("dynos.why", dyno=dyno)[-number:]
    if session.given.on("json"):
        page.as_json(rows)
        return
    if not rows:
        raise Refused(Refusal.NOT_FOUND, f"cannot find anything about {dyno} of {session.app}; see `dyno ps`")
    for row in rows:
        print(f"{row['created_at']} {row['dyno']['name']} {row['event']}: {row['reason']}")


def autopsy(session: Session) -> None:
    """One end, whole; with --json all that are kept."""
    dyno, number = session.given.words[0], session.given.number("num", 1)
    rows = session.app_call("dynos.autopsy", dyno=dyno)
    if session.given.on("json"):
        page.as_json(rows)
        return
    if len(rows) < number:
        kept = f"{len(rows)} are kept" if rows else "none is kept"
        raise Refused(Refusal.NOT_FOUND, f"cannot show end {number} of {dyno} of {session.app}: {kept}")
    row = rows[number - 1]
    page.heading(f"{row['dyno']['name']}: {row['state']} {page.since(row['died_at'])}")
    lived = datetime.fromisoformat(row["died_at"]) - datetime.fromisoformat(row["created_at"])
    page.pairs(
        {
            "Cause": row["cause"],
            "Command": row["command"],
            "Dyno": row["dyno"]["id"],
            "Exit status": str(row["exit_status"]),
            "Lived": str(lived),
            "Memory peak": page.size(row["memory_peak"] or None),
            "Release": f"v{row['release']['version']}",
            "Size": row["size"],
        }
    )
    print()
    page.heading(f"Last log lines ({len(row['lines'])})")
    for line in row["lines"]:
        print(line)
    print()
    count = f"the first {len(row['files'])}" if row["files_truncated"] else str(len(row["files"]))
    page.heading(f"Files it had changed ({count})")
    page.table(
        [
            [f["path"], (page.size(f["size"]) or "") if f["kind"] == "file" else f["kind"]]
            for f in row["files"]
        ]
    )
