"""Who you are here, and the exports for other tools."""

import shlex

from dynod.api.exports import cli_exports
from dynod.cli import page
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def whoami(session: Session) -> None:
    """As `heroku auth:whoami`."""
    account = session.call("account.info")
    if session.given.on("json"):
        page.as_json(account)
    else:
        print(account["email"])


def _ready(session: Session) -> dict[str, str]:
    if not session.ready:
        raise Refused(
            Refusal.FORBIDDEN,
            f"cannot read {session.run}/ready.json: it is there while dynod runs, and for its owner alone (try sudo)",
        )
    return session.ready


def token(session: Session) -> None:
    """As `heroku auth:token`."""
    print(_ready(session)["token"])


def env(session: Session) -> None:
    """Print `export K=V` lines for `eval "$(dyno env)"`."""
    values = cli_exports(_ready(session))
    if session.given.on("json"):
        page.as_json(values)
        return
    for key, value in values.items():
        print(f"export {key}={shlex.quote(value)}")
