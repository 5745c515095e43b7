"""Config vars."""

from collections.abc import Mapping

from dynod.cli import page
from dynod.cli.options import Usage
from dynod.cli.session import Session


def config(session: Session) -> None:
    """As `heroku config`."""
    values = session.app_call("config.info")
    if session.given.on("json"):
        page.as_json(values)
    elif session.given.on("shell"):
        page.shell(values)
    else:
        page.heading(f"{page.app(session.app)} Config Vars")
        page.pairs(values)


def get(session: Session) -> None:
    """As `heroku config:get`: the bare values, an empty line for what is not set."""
    values = session.app_call("config.info")
    keys = session.given.words
    if session.given.on("json"):
        found = [{"key": key, "value": values.get(key)} for key in keys]
        page.as_json(found[0] if len(found) == 1 else found)
    elif session.given.on("shell"):
        page.shell({key: values.get(key, "") for key in keys})
    else:
        for key in keys:
            print(values.get(key, ""))


def _change(session: Session, verb: str, changes: Mapping[str, str | None]) -> dict[str, str]:
    with page.action(f"{verb} {', '.join(changes)} and restarting {page.app(session.app)}") as doing:
        values: dict[str, str] = session.app_call("config.update", dict(changes))
        newest = max(session.app_call("releases.list"), key=lambda row: int(row["version"]))
        doing.says = f"done, v{newest['version']}"
    return values


def set_vars(session: Session) -> None:
    """As `heroku config:set`."""
    changes: dict[str, str | None] = {}
    for word in session.given.words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise Usage(f"cannot set {word}: it must be in the format KEY=VALUE")
        changes[key] = value
    values = _change(session, "Setting", changes)
    page.pairs({key: value for key, value in values.items() if key in changes})


def unset(session: Session) -> None:
    """As `heroku config:unset`."""
    _change(session, "Unsetting", dict.fromkeys(session.given.words))
