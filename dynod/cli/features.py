"""App features (labs)."""

from dynod.cli import page
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def features(session: Session) -> None:
    """As `heroku features`."""
    rows = sorted(session.app_call("features.list"), key=lambda row: str(row["name"]))
    if session.given.on("json"):
        page.as_json(rows)
        return
    page.heading(f"App Features {page.app(session.app)}")
    page.table([[f"{'[+]' if row['enabled'] else '[ ]'} {row['name']}", row["description"]] for row in rows])


def info(session: Session) -> None:
    """As `heroku features:info`."""
    found = session.app_call("features.info", feature=session.given.words[0])
    if session.given.on("json"):
        page.as_json(found)
        return
    page.heading(found["name"])
    enabled = "true" if found["enabled"] else "false"
    page.pairs({"Description": found["description"], "Docs": found["doc_url"], "Enabled": enabled})


def _switch(session: Session, *, on: bool) -> None:
    name = session.given.words[0]
    with page.action(f"{'Enabling' if on else 'Disabling'} {name} for {page.app(session.app)}"):
        if session.app_call("features.info", feature=name)["enabled"] is on:
            raise Refused(Refusal.INVALID, f"cannot switch {name}: it is already {'on' if on else 'off'}")
        session.app_call("features.update", {"enabled": on}, feature=name)


def enable(session: Session) -> None:
    """As `heroku features:enable`."""
    _switch(session, on=True)


def disable(session: Session) -> None:
    """As `heroku features:disable`."""
    _switch(session, on=False)
