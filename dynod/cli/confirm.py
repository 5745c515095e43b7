"""Asking before something is lost, as Heroku's CLI does: the app's name a second time, by flag or by hand."""

import sys

from dynod.cli import page
from dynod.cli.options import Usage
from dynod.cli.session import Session
from dynod.model.refused import Refusal, Refused


def confirm(session: Session, app: str, lost: str) -> None:
    """Return when the name was said twice; raise Usage where nobody can be asked, Refused for another answer."""
    said = session.given.text("confirm")
    if not said:
        page.warn(lost)
        if not sys.stdin.isatty():
            raise Usage(f"cannot do that unasked: say --confirm {app}")
        sys.stderr.write(f"To proceed, type {app} or re-run this command with --confirm {app}\n> ")
        sys.stderr.flush()
        said = sys.stdin.readline().strip()
    if said != app:
        raise Refused(
            Refusal.INVALID, f"cannot do that: the confirmation {said!r} is not {app}; nothing was changed"
        )
