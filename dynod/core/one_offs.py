"""How many one-off dynos an app may have at the same time (HEROKU.md 1.7, row "concurrent one-offs")."""

from collections.abc import Iterable

from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.model.app import AppName
from dynod.model.formation import RELEASE, DynoSize
from dynod.model.refused import Refusal, Refused


def check_room(app: AppName, dynos: Iterable[Dyno], size: DynoSize) -> None:
    """Raise Refused unless one more of `size` may start beside `dynos`, the app's. Release phases count for nothing."""
    running = [dyno for dyno in dynos if _counts(dyno) and _kind(dyno.size) == _kind(size.name)]
    if len(running) >= size.one_offs:
        raise Refused(
            Refusal.INVALID,
            f"cannot start another {size.name} one-off dyno of {app}: {len(running)} run and at most "
            f"{size.one_offs} may; end one with `dyno ps:stop {running[0].name} -a {app}`, or use another size",
        )


def _counts(dyno: Dyno) -> bool:
    return dyno.kind is Kind.ONE_OFF and dyno.phase is not Phase.ENDED and dyno.name.type != RELEASE


def _kind(size: str) -> str:
    """Standard-1X and Standard-2X are of one kind, and so are all Performance sizes."""
    return size.partition("-")[0]
