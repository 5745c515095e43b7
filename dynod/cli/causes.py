"""`dyno why` and `dyno autopsy`: why dynos started and stopped, and how they ended."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from dynod.cli import page
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused

WAITED = (("cpu", "for a processor"), ("memory", "for memory"), ("io", "for a disk"))


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
            "CPU time": _cpu(row["cgroup"]),
            "Cause": row["cause"],
            "Command": row["command"],
            "Dyno": row["dyno"]["id"],
            "Exit status": str(row["exit_status"]),
            "Lived": str(lived),
            "Memory limit": _limit(row["cgroup"]),
            "Memory peak": page.size(row["memory_peak"]),
            "Processes": _processes(row["cgroup"]),
            "Release": f"v{row['release']['version']}",
            "Size": row["size"],
            "Waited": _said(_time(row["cgroup"], f"waited_{what}", words) for what, words in WAITED),
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


def _cpu(counted: Mapping[str, Any]) -> str | None:
    return _said(_time(counted, f"cpu_{what}", what) for what in ("user", "system", "throttled"))


def _limit(counted: Mapping[str, Any]) -> str | None:
    met, killed = counted["memory_full"], counted["memory_kills"]
    return _said(
        (
            None if met is None else f"reached {_times(met)}" if met else "never reached",
            f"{killed} {'process' if killed == 1 else 'processes'} killed" if killed else None,
        )
    )


def _processes(counted: Mapping[str, Any]) -> str | None:
    most, refused = counted["tasks_peak"], counted["tasks_refused"]
    return _said(
        (
            None if most is None else f"{most} at most, threads included",
            f"refused {_times(refused)} for its limit" if refused else None,
        )
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _time(counted: Mapping[str, Any], name: str, words: str) -> str | None:
    return None if counted[name] is None else f"{counted[name]:.2f} s {words}"


def _said(parts: Iterable[str | None]) -> str | None:
    """What is known; None where nothing is."""
    return ", ".join(part for part in parts if part is not None) or None
