"""The rules of the formation: what a scale makes of it (HEROKU.md 1.7) and what a deploy makes of it (2.2)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from dynod.model.app import AppName
from dynod.model.formation import (
    DEFAULT_SIZE,
    ECO,
    MAX_DYNOS,
    SIZES,
    WEB,
    DynoSize,
    Formation,
    ProcessType,
    Scale,
)
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Slug

MAX_ECO = 2  # running at the same time in one app

_QUANTITY = re.compile(r"([+-]?)([0-9]{1,6})", re.ASCII)
_APART = (ECO, SIZES["basic"])  # each mixes only with itself

Rows = dict[ProcessType, Formation]


def changed_types(before: Iterable[Formation], after: Iterable[Formation]) -> frozenset[ProcessType]:
    """Which types a scale has changed."""
    known = set(before)
    return frozenset(row.type for row in after if row not in known)


def after_deploy(
    formation: Sequence[Formation], slug: Slug | None, new_id: Callable[[], str]
) -> tuple[Formation, ...]:
    """Fit the formation to a slug that takes effect: commands follow it, its types stay, come (at 0) and go.

    The first deploy, one that finds no formation, starts one web dyno.
    """
    if slug is None:
        return ()
    old = {row.type: row for row in formation}
    size = next((row.size for row in formation if row.size in _APART), DEFAULT_SIZE)
    return tuple(
        replace(old[type_], command=command)
        if type_ in old
        else Formation(new_id(), type_, int(type_ == WEB and not old), size, command)
        for type_, command in sorted(slug.process_types.items())
    )


def after_scale(
    app: AppName, formation: Sequence[Formation], changes: Sequence[Scale]
) -> tuple[Formation, ...]:
    """Return the whole formation as it would be; raise Refused."""
    rows = {row.type: row for row in formation}
    for change in changes:
        row = rows.get(change.type)
        if row is None:
            raise _unknown(app, change.type, rows)
        quantity = row.quantity if change.quantity is None else _quantity(row, change.quantity)
        rows[change.type] = replace(row, quantity=quantity, size=change.size or row.size)
    sized = [change.type for change in changes if change.size is not None]
    if sized:
        rows = _accompanied(rows, sized, {row.type: row.size for row in formation})
    _check_limits(app, rows)
    return tuple(rows.values())


def _unknown(app: AppName, type_: ProcessType, rows: Mapping[ProcessType, Formation]) -> Refused:
    has = f"it has {', '.join(rows)}" if rows else "it has none until something is deployed"
    return Refused(Refusal.NOT_FOUND, f"cannot scale {type_}: app {app} has no such process type; {has}")


def _quantity(row: Formation, text: str) -> int:
    found = _QUANTITY.fullmatch(text)
    if found is None:
        raise Refused(
            Refusal.INVALID, f"cannot scale {row.type} to {text!r}: a quantity looks like 2, +1 or -1"
        )
    sign, number = found[1], int(found[2])
    if not sign:
        return number
    return max(0, row.quantity + (number if sign == "+" else -number))


def _family(size: DynoSize) -> DynoSize:
    """Sizes mix within a family: Eco is one, Basic is one, all others are the third."""
    return size if size in _APART else DEFAULT_SIZE


def _accompanied(rows: Rows, sized: Sequence[ProcessType], before: Mapping[ProcessType, DynoSize]) -> Rows:
    """Take the types that were not named along to the new family; raise Refused where that would be a surprise.

    Whoever leaves Eco or Basic takes all types along, and so do types without dynos; running dynos of other sizes
    are not made smaller by the way.
    """
    first = rows[sized[0]]
    family = _family(first.size)
    after = dict(rows)
    for row in rows.values():
        if _family(row.size) == family:
            continue
        if row.type in sized or (row.quantity and before[row.type] not in _APART):
            apart = first.size if first.size in _APART else row.size
            raise Refused(
                Refusal.INVALID,
                f"cannot run {first.type} as {first.size.name} beside {row.type} as {row.size.name}: "
                f"{apart.name} dynos mix with no other size; give all process types sizes that mix",
            )
        after[row.type] = replace(row, size=family)
    return after


def _check_limits(app: AppName, rows: Rows) -> None:
    for row in rows.values():
        if row.quantity > row.size.max_per_type:
            raise Refused(
                Refusal.INVALID,
                f"cannot run {row.quantity} {row.type} dynos of size {row.size.name}: "
                f"at most {row.size.max_per_type} per process type; ask for fewer or for another size",
            )
    total = sum(row.quantity for row in rows.values())
    if total > MAX_DYNOS:
        raise Refused(
            Refusal.INVALID, f"cannot scale app {app} to {total} dynos: an app may have {MAX_DYNOS} in all"
        )
    eco = sum(row.quantity for row in rows.values() if row.size == ECO)
    if eco > MAX_ECO:
        raise Refused(
            Refusal.INVALID,
            f"cannot run {eco} Eco dynos in app {app}: at most {MAX_ECO} at a time; ask for fewer or for another size",
        )
