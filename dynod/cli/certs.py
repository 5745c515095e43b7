"""Verbs about an app's certificates: brought by people (`certs:*`) and fetched by the platform (`certs:auto:*`)."""

from typing import Any

from dynod.cli import page
from dynod.cli.confirm import confirm
from dynod.cli.options import Usage
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def certs(session: Session) -> None:
    """As `heroku certs`."""
    rows = sorted(session.app_call("sni-endpoints.list"), key=lambda row: str(row["name"]))
    if session.given.on("json"):
        page.as_json(rows)
    elif not rows:
        print(f"{page.app(session.app)} has no SSL certificates.\nUse dyno certs:add CRT KEY to add one.")
    else:
        page.table([["Name", "Common Name(s)", "Expires", "Trusted", "Type", "Domains"], *map(_row, rows)])


def _row(row: dict[str, Any]) -> list[str]:
    certificate = row["ssl_cert"]
    return [
        row["name"],
        ", ".join(certificate["cert_domains"]),
        _when(certificate["expires_at"]),
        str(certificate["ca_signed?"]),
        "ACM" if certificate["acm"] else "SNI",
        str(len(row["domains"])),
    ]


def _when(stamp: str) -> str:
    return f"{stamp[:10]} {stamp[11:16]} UTC"


def _endpoint(session: Session) -> dict[str, Any]:
    """Find the one that is meant: the only one, or the one named."""
    rows: list[dict[str, Any]] = session.app_call("sni-endpoints.list")
    name = session.given.text("name")
    found = [row for row in rows if name in {"", row["name"]}]
    if not found:
        what = f"the certificate {name}" if name else "a certificate"
        raise Refused(Refusal.NOT_FOUND, f"cannot find {what} on {session.app}; see dyno certs")
    if len(found) > 1:
        raise Usage(
            f"cannot tell which certificate is meant: say --name {'|'.join(row['name'] for row in found)}"
        )
    return found[0]


def _details(row: dict[str, Any], title: str = "Certificate details:") -> None:
    certificate = row["ssl_cert"]
    print(title)
    page.pairs(
        {
            "Common Name(s)": certificate["cert_domains"],
            "Expires At": _when(certificate["expires_at"]),
            "Issuer": certificate["issuer"],
            "Starts At": _when(certificate["starts_at"]),
            "Subject": certificate["subject"],
        }
    )
    if certificate["self_signed?"]:
        print("SSL certificate is self signed.")


def info(session: Session) -> None:
    """As `heroku certs:info`."""
    found = _endpoint(session)
    if session.given.on("json"):
        page.as_json(found)
    else:
        _details(found)


def _texts(session: Session) -> dict[str, str]:
    texts = []
    for path in session.given.words:
        try:
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            raise Refused(Refusal.INVALID, f"cannot read {path}: {why}") from error
    return {"certificate_chain": texts[0], "private_key": texts[1]}


def add(session: Session) -> None:
    """As `heroku certs:add`."""
    body = _texts(session)
    with page.action(f"Adding SSL certificate to {page.app(session.app)}"):
        made = session.app_call("sni-endpoints.create", body)
    _details(made)


def update(session: Session) -> None:
    """As `heroku certs:update`."""
    body, found = _texts(session), _endpoint(session)
    confirm(session, session.app, f"This command will change the certificate of endpoint {found['name']}.")
    with page.action(f"Updating SSL certificate {found['name']} for {page.app(session.app)}"):
        made = session.app_call("sni-endpoints.update", body, endpoint=found["name"])
    _details(made, "Updated certificate details:")


def remove(session: Session) -> None:
    """As `heroku certs:remove`."""
    found = _endpoint(session)
    confirm(session, session.app, f"This command will remove the endpoint {found['name']}.")
    with page.action(f"Removing SSL certificate {found['name']} from {page.app(session.app)}"):
        session.app_call("sni-endpoints.remove", endpoint=found["name"])


# -- certificates that the platform fetches -------------------------------------------------------------------------

_WORDS = {"failed": "Failed", "verified": "In Progress", "cert issued": "Cert issued"}


def auto(session: Session) -> None:
    """As `heroku certs:auto`."""
    on = bool(session.app_call("apps.info")["acm"])
    rows = [row for row in session.app_call("domains.list") if row["kind"] == "custom"]
    if session.given.on("json"):
        page.as_json({"acm": on, "domains": rows})
        return
    page.heading(
        f"Automatic Certificate Management is {'enabled' if on else 'disabled'} on {page.app(session.app)}"
    )
    if on and rows:
        page.table([["Domain", "Status", "Reason"], *map(_status, rows)])
    elif on:
        print("Add a custom domain to your app by running: dyno domains:add <yourdomain.com>")


def _status(row: dict[str, Any]) -> list[str]:
    status = row["acm_status"]
    said = _WORDS.get(status, str(status).capitalize()) if status else "Own certificate"
    return [row["hostname"], said, row["acm_status_reason"] or ""]


def auto_enable(session: Session) -> None:
    """As `heroku certs:auto:enable`."""
    with page.action("Enabling Automatic Certificate Management") as doing:
        session.app_call("acm.enable")
        doing.says = "starting. See status with dyno certs:auto"


def auto_disable(session: Session) -> None:
    """As `heroku certs:auto:disable`."""
    confirm(
        session,
        session.app,
        "This command will disable Automatic Certificate Management; the certificates it fetched go.",
    )
    with page.action("Disabling Automatic Certificate Management"):
        session.app_call("acm.disable")


def auto_refresh(session: Session) -> None:
    """As `heroku certs:auto:refresh`."""
    with page.action("Refreshing Automatic Certificate Management"):
        session.app_call("acm.refresh", {"acm_refresh": True})
