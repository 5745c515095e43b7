"""The API's activity lines (`app[api]`), to the letter of HEROKU.md 1.3. Where they are sent is the engine's business."""

from collections.abc import Sequence

from dynod.core.ledger import AppState
from dynod.model.entry import (
    AcmSet,
    BuildSettled,
    BuildStarted,
    DomainAdded,
    DomainRemoved,
    EndpointRemoved,
    EndpointSet,
    Entry,
    FormationSet,
    ReleaseCreated,
    ReleaseSettled,
)
from dynod.model.formation import Formation
from dynod.model.release import BuildStatus, ReleaseStatus


def lines(entry: Entry, before: AppState | None, after: AppState | None, base: str = "") -> tuple[str, ...]:
    """Say what `entry` did: `before` and `after` are the app's state around it, None where there was no app.

    `base` is where a browser finds the pages of builds (`https://HOST`).
    """
    by = f"by user {entry.actor}"
    match entry.payload:
        case BuildStarted():
            return (f"Build started {by}",)
        case BuildSettled(id, status):
            page = f"{base}/apps/{entry.app}/activity/builds/{id}"
            failed = f"Build failed -- check your build output: {page}"
            return ("Build succeeded" if status is BuildStatus.SUCCEEDED else failed,)
        case ReleaseCreated() as release:
            then = (
                f"Running release v{release.version} commands" if release.phase else _created(release.version)
            )
            return f"{release.description} {by}", f"{then} {by}"
        case ReleaseSettled() as settled if after is not None:
            return _settled(settled, after)
        case DomainAdded(hostname=name):
            return (f"Add domain {name} {by}",)
        case DomainRemoved(id) if before is not None:
            gone = next(domain for domain in before.domains if domain.id == id)
            return (f"Remove domain {gone.hostname} {by}",)
        case EndpointSet(id, name) as given:
            known = before is not None and any(each.id == id for each in before.endpoints)
            names = ", ".join(given.certificate.domains)
            return (f"{'Update' if known else 'Add'} SSL certificate {name} for {names} {by}",)
        case EndpointRemoved(id) if before is not None:
            return (
                f"Remove SSL certificate {next(each.name for each in before.endpoints if each.id == id)} {by}",
            )
        case AcmSet(on):
            return (f"{'Enable' if on else 'Disable'} automatic certificate management {by}",)
        case FormationSet(rows) if rows and _scale(rows) != _scale(before.formation if before else ()):
            return (f"Scaled to {_scale(rows)} {by}",)
        case _:
            return ()


def one_off(command: str, actor: str) -> str:
    """The line of `heroku run`."""
    return f"Starting process with command `{command}` by user {actor}"


def inside(dyno: str, command: str, actor: str) -> str:
    """The line of `heroku run:inside`; ours, as Heroku writes none that is known."""
    return f"Starting process in {dyno} with command `{command}` by user {actor}"


def _created(version: int) -> str:
    return f"Release v{version} created"


def _settled(settled: ReleaseSettled, after: AppState) -> tuple[str, ...]:
    """The release's own actor is named: the platform that settles it is nobody."""
    release = next(each for each in after.releases if each.id == settled.id)
    succeeded = settled.status is ReleaseStatus.SUCCEEDED
    what = _created(release.version) if succeeded else f"Release v{release.version} command failed"
    return (f"{what} by user {release.actor}",)


def _scale(rows: Sequence[Formation]) -> str:
    return " ".join(f"{row.type}@{row.quantity}:{row.size.name}" for row in rows)
