"""Verbs about an app's names."""

from typing import Any

from dynod.cli import page
from dynod.cli.session import Session


def domains(session: Session) -> None:
    """As `heroku domains`."""
    rows = session.app_call("domains.list")
    if session.given.on("json"):
        page.as_json(rows)
        return
    page.heading(f"{page.app(session.app)} Heroku Domain")
    print(*(row["hostname"] for row in rows if row["kind"] == "heroku"), sep="\n")
    custom = sorted((row for row in rows if row["kind"] == "custom"), key=lambda row: str(row["hostname"]))
    if custom:
        print()
        page.heading(f"{page.app(session.app)} Custom Domains")
        page.table([["Domain Name", "DNS Record Type", "DNS Target", "SNI Endpoint"], *map(_row, custom)])


def _row(row: dict[str, Any]) -> list[str]:
    apex = row["hostname"].count(".") == 1 and "*" not in row["hostname"]
    endpoint = row["sni_endpoint"]
    kind = "ALIAS or ANAME" if apex else "CNAME"
    return [row["hostname"], kind, row["cname"], "" if endpoint is None else endpoint["name"]]


def add(session: Session) -> None:
    """As `heroku domains:add`."""
    name = session.given.words[0]
    with page.action(f"Adding {name} to {page.app(session.app)}"):
        made = session.app_call(
            "domains.create", {"hostname": name, "sni_endpoint": session.given.text("cert") or None}
        )
    if session.given.on("json"):
        page.as_json(made)
    else:
        print(f"Configure your app's DNS provider to point to the DNS Target {made['cname']}.")


def info(session: Session) -> None:
    """As `heroku domains:info`."""
    found = session.app_call("domains.info", domain=session.given.words[0])
    if session.given.on("json"):
        page.as_json(found)
        return
    endpoint = found["sni_endpoint"]
    flat = {
        **found,
        "app": found["app"]["name"],
        "sni_endpoint": None if endpoint is None else endpoint["name"],
    }
    page.pairs(flat)


def update(session: Session) -> None:
    """As `heroku domains:update --cert`."""
    name, cert = session.given.words[0], session.given.text("cert")
    with page.action(f"Updating {name} to use {cert or 'no'} certificate"):
        session.app_call("domains.update", {"sni_endpoint": cert or None}, domain=name)


def remove(session: Session) -> None:
    """As `heroku domains:remove`."""
    name = session.given.words[0]
    with page.action(f"Removing {name} from {page.app(session.app)}"):
        session.app_call("domains.remove", domain=name)


def clear(session: Session) -> None:
    """As `heroku domains:clear`."""
    with page.action(f"Removing all domains from {page.app(session.app)}"):
        for row in session.app_call("domains.list"):
            if row["kind"] == "custom":
                session.app_call("domains.remove", domain=row["id"])


def wait(session: Session) -> None:
    """As `heroku domains:wait`: there is nothing to wait for, since routers know of a name before it is said to be there."""
    for name in session.given.words:
        session.app_call("domains.info", domain=name)
