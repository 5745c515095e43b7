"""Why dynos start and stop, in words: from ledger entries (`reason`) and, for `dyno why`, from observations (`causes`). Pure.

A reason is a phrase that names who asked: `release v7: Set A config vars by me@example.com`. It goes into the observation when
something starts or stops because of it; what is read later is only joined.
"""

from collections.abc import Iterable

from dynod.core.ledger import AppState
from dynod.core.reconcile import CRASHED, NOT_STARTED
from dynod.model.autopsy import Cause
from dynod.model.dyno import DynoId
from dynod.model.entry import (
    AppDestroyed,
    Entry,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    ReleaseCreated,
    ReleaseSettled,
)
from dynod.model.formation import Formation
from dynod.model.observation import Observation

_ENDS = {"crashed": "crashed", "down": "stopped", "idle": "stopped", "complete": "completed", "lost": "lost"}
_ASKED = {"stopping", "hung up"}  # told with the end that follows
_PASSING = {"frozen", "thawed"}


def reason(entry: Entry, before: AppState | None, after: AppState | None) -> str:
    """Say why dynos start or stop after this entry; '' for one after which none does."""
    by = f"by {entry.actor}"
    match entry.payload:
        case ReleaseCreated() as release:
            return f"release v{release.version}: {release.description} {by}"
        case ReleaseSettled(id) if after is not None:
            release_ = next(each for each in after.releases if each.id == id)
            return f"release v{release_.version}: {release_.description} by {release_.actor}"
        case FormationSet(rows):
            return f"scaled to {_scale(rows, () if before is None else before.formation)} {by}"
        case FeatureSet(name, enabled):
            return f"feature {name} switched {'on' if enabled else 'off'} {by}"
        case MaintenanceSet(on):
            return f"maintenance mode switched {'on' if on else 'off'} {by}"
        case AppDestroyed():
            return f"the app was destroyed {by}"
        case _:
            return ""


def _scale(rows: Iterable[Formation], before: Iterable[Formation]) -> str:
    """Name the rows that are new or changed: `web=2`, with the size where that changed."""
    rows, known = tuple(rows), {row.type: row for row in before}
    said = []
    for row in rows:
        was = known.pop(row.type, None)
        size = f":{row.size.name}" if was is not None and was.size != row.size else ""
        if was is None or was.quantity != row.quantity or size or was.command != row.command:
            said.append(f"{row.type}={row.quantity}{size}")
    said += [f"{type_}=0" for type_ in known]
    return " ".join(said or (f"{row.type}={row.quantity}" for row in rows))


def causes(observed: Iterable[Observation]) -> tuple[Cause, ...]:
    """Make one line of every start and stop, freeze and thaw, oldest first. A dyno that is told to stop has its line once it has ended."""
    made: list[Cause] = []
    asked: dict[str, Observation] = {}
    crash: dict[str, str] = {}  # of each name, the last one
    for each in observed:
        if each.what == "starting":
            why = each.detail
            if why.startswith((CRASHED, NOT_STARTED)) and each.name in crash:
                why = f"{why}: {crash[each.name]}"
            made.append(_cause(each, "started", why))
        elif each.what in _PASSING:
            made.append(_cause(each, each.what, each.detail))
        elif each.what in _ASKED:
            asked[each.dyno] = each
        elif each.what in _ENDS:
            asking = asked.pop(each.dyno, None)
            if each.what == "crashed":
                crash[each.name] = each.detail
            why = each.detail if asking is None else f"{asking.detail}; {each.detail}"
            made.append(_cause(each, _ENDS[each.what], why))
    made += [_cause(each, "stopping", each.detail) for each in asked.values()]
    return tuple(sorted(made, key=lambda cause: cause.at))


def _cause(observed: Observation, what: str, why: str) -> Cause:
    return Cause(observed.at, DynoId(observed.dyno), observed.name, what, why)
