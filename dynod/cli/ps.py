"""Dynos and the formation."""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from dynod.cli import page
from dynod.cli.options import Usage
from dynod.cli.session import Session
from dynod.model.formation import ECO, MAX_DYNOS, SIZES
from dynod.model.refused import Refusal, Refused

_ONE = re.compile(r".+\.[0-9]+|[0-9a-f-]{36}")  # a dyno's name or id; anything else is a process type
_DIGITS = 7  # with the sign, as many as the API reads
_CHANGE = re.compile(r"([\w-]+)([=+-]\d+)(?::([\w-]+))?", re.ASCII)


def _number(dyno: dict[str, Any]) -> tuple[str, int]:
    type, _, number = str(dyno["name"]).rpartition(".")
    return type, int(number) if number.isdigit() else 0


def ps(session: Session) -> None:
    """As `heroku ps`: one-offs first, then each process type's dynos under its command."""
    dynos = sorted(session.app_call("dynos.list"), key=_number)
    for type in session.given.words:
        if not any(dyno["type"] == type for dyno in dynos):
            raise Refused(Refusal.NOT_FOUND, f"cannot find {type} dynos on {session.app}; see dyno ps")
    if session.given.words:
        dynos = [dyno for dyno in dynos if dyno["type"] in session.given.words]
    if session.given.on("json"):
        page.as_json(dynos)
    elif not dynos:
        print(f"No dynos on {page.app(session.app)}")
    else:
        if any(dyno["size"] == ECO.name for dyno in dynos):
            _print_quota(session.call("account.quota", account="~"), dynos[0]["app"]["id"])
        _print(dynos)


def _print_quota(quota: dict[str, Any], app: str) -> None:
    """The eco dyno hours of the month, as `heroku ps` words them."""
    whole = quota["account_quota"]
    here = sum(each["quota_used"] for each in quota["apps"] if each["app_uuid"] == app)
    left = max(0, whole - quota["quota_used"])
    print(f"Eco dyno hours quota remaining this month: {_hours(left, whole)}")
    print(f"Eco dyno usage for this app: {_hours(here, whole)}")
    print()


def _hours(seconds: int, whole: int) -> str:
    percent = 100 * seconds // whole if whole else 0
    return f"{seconds // 3600}h {seconds % 3600 // 60}m ({percent}%)"


def _print(dynos: Sequence[dict[str, Any]]) -> None:
    one_offs = [dyno for dyno in dynos if dyno["type"] == "run"]
    if one_offs:
        page.heading(f"run: one-off processes ({len(one_offs)})")
        for dyno in one_offs:
            when = page.since(dyno["updated_at"])
            print(f"{dyno['name']} ({dyno['size']}): {dyno['state']} {when}: {dyno['command']}")
        print()
    rest = [dyno for dyno in dynos if dyno["type"] != "run"]
    for (type, command), group in groupby(rest, key=lambda dyno: (dyno["type"], dyno["command"])):
        rows = list(group)
        page.heading(f"{type} ({rows[0]['size']}): {command} ({len(rows)})")
        for dyno in rows:
            print(f"{dyno['name']}: {dyno['state']} {page.since(dyno['updated_at'])}")
        print()


def _formation(session: Session) -> list[dict[str, Any]]:
    rows = sorted(session.app_call("formation.list"), key=lambda row: str(row["type"]))
    if not rows:
        raise Refused(
            Refusal.NOT_FOUND,
            f"cannot find process types on {session.app}: deploy an app with a Procfile to add some",
        )
    return rows


def scale(session: Session) -> None:
    """As `heroku ps:scale`: shows the formation, or changes it."""
    if not session.given.words:
        rows = _formation(session)
        if session.given.on("json"):
            page.as_json(rows)
        else:
            print(" ".join(f"{row['type']}={row['quantity']}:{row['size']}" for row in rows))
        return
    updates = []
    for word in session.given.words:
        change = _CHANGE.fullmatch(word)
        if change is None:
            raise Usage(f"cannot scale by {word!r}: it must look like web=2, worker+1 or web=2:Standard-2X")
        if len(change[2]) > _DIGITS:
            raise Usage(f"cannot scale by {word!r}: an app may have {MAX_DYNOS} dynos in all")
        update = {"type": change[1], "quantity": change[2].removeprefix("=")}
        updates.append(update | ({"size": change[3]} if change[3] else {}))
    types = {update["type"] for update in updates}
    with page.action("Scaling dynos") as doing:
        rows = [
            row for row in session.app_call("formation.update", {"updates": updates}) if row["type"] in types
        ]
        now = ", ".join(f"{row['type']} at {row['quantity']}:{row['size']}" for row in rows)
        doing.says = f"done, now running {now}"
    if session.given.on("json"):
        page.as_json(rows)


def size(session: Session) -> None:
    """As `heroku ps:type`: shows sizes and what they would cost there, or sets them."""
    rows = _formation(session)
    if session.given.words:
        types = [row["type"] for row in rows]
        with page.action(f"Scaling dynos on {page.app(session.app)}"):
            session.app_call("formation.update", {"updates": _sizes(session.given.words, types)})
        rows = _formation(session)
    if session.given.on("json"):
        page.as_json(rows)
        return
    page.heading("Process Types")
    page.table(
        [["type", "size", "qty", "max cost/month at Heroku"]]
        + [[row["type"], row["size"], str(row["quantity"]), _cost(row)] for row in rows]
    )


def _cost(row: dict[str, Any]) -> str:
    size = SIZES.get(str(row["size"]).lower())
    return "" if size is None else f"${size.cents * int(row['quantity']) // 100}"


def _sizes(words: Sequence[str], types: Sequence[str]) -> list[dict[str, str]]:
    if len(words) == 1 and "=" not in words[0]:
        return [{"type": type, "size": words[0]} for type in types]
    updates = []
    for word in words:
        type, equals, size = word.partition("=")
        if not equals or not size or type not in types:
            raise Usage(
                f"cannot set a size by {word!r}: it must look like TYPE=SIZE, types are {', '.join(types)}"
            )
        updates.append({"type": type, "size": size})
    return updates


def _which(session: Session) -> tuple[str, str]:
    """Return the dyno and the type that are meant; one of them, or neither, is empty."""
    given = session.given
    named = {*given.words, *filter(None, (given.text("dyno-name"),))}
    if len(named) > 1:
        raise Usage(
            f"cannot take {' and '.join(sorted(named))} at once: name one dyno, or a type with -p TYPE"
        )
    dyno, type = next(iter(named), ""), given.text("process-type")
    if dyno and type:
        raise Usage("cannot take both a dyno and a process type: name one of them")
    return (dyno, type) if _ONE.fullmatch(dyno) else ("", type or dyno)


def _what(dyno: str, type: str) -> str:
    if dyno:
        return f"dyno {dyno}"
    return f"all {type} dynos" if type else "all dynos"


def restart(session: Session) -> None:
    """As `heroku ps:restart`."""
    dyno, type = _which(session)
    with page.action(f"Restarting {_what(dyno, type)} on {page.app(session.app)}"):
        if dyno:
            session.app_call("dynos.restart", dyno=dyno)
        elif type:
            session.app_call("dynos.restart-type", type=type)
        else:
            session.app_call("dynos.restart-all")


def stop(session: Session) -> None:
    """As `heroku ps:stop`."""
    dyno, type = _which(session)
    if not dyno and not type:
        raise Usage("cannot stop: name a dyno with -d DYNO or a process type with -p TYPE")
    with page.action(f"Stopping {_what(dyno, type)} on {page.app(session.app)}"):
        if dyno:
            session.app_call("dynos.stop", dyno=dyno)
        else:
            session.app_call("dynos.stop-type", type=type)


def explain(session: Session) -> None:
    """What the dyno host was told: mounts, limits, seals, line by line."""
    lines = session.app_call("dynos.explain", dyno=session.given.words[0])
    if session.given.on("json"):
        page.as_json(lines)
    else:
        for line in lines:
            print(line)
