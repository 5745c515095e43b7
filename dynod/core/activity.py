"""The API's activity lines (`app[api]`), to the letter of HEROKU.md 1.3. Where they are sent is the engine's business."""

from dynod.core.ledger import AppState
from dynod.model.entry import Entry


def lines(entry: Entry, before: AppState | None, after: AppState | None, base: str = "") -> tuple[str, ...]:
    """Say what `entry` did: `before` and `after` are the app's state around it; `base` is where build pages live."""
    raise NotImplementedError


def one_off(command: str, actor: str) -> str:
    """The line of `heroku run`."""
    raise NotImplementedError
