"""The formation: how many dynos of which type and size."""

import re
from typing import Any

from dynod.api import fields, render
from dynod.api.operation import Ask
from dynod.model.formation import Formation, Scale, dyno_size, process_type
from dynod.model.refused import Refusal, Refused

_QUANTITY = re.compile(r"[+-]?[0-9]{1,6}", re.ASCII)


def _row(ask: Ask, ident: str) -> Formation:
    for row in ask.platform.formation(ask.app):
        if ident in {row.type, row.id}:
            return row
    raise Refused(
        Refusal.NOT_FOUND,
        f"cannot find the process type {ident[:128]!r} in {ask.app.name}: its Procfile declares no such type",
    )


def _scale(kind: str, body: Any) -> Scale:
    quantity, size = body.get("quantity"), fields.identity(body, "size") or fields.identity(body, "dyno_size")
    if isinstance(quantity, int) and not isinstance(quantity, bool) and quantity >= 0:
        quantity = str(quantity)
    if quantity is not None and not (isinstance(quantity, str) and _QUANTITY.fullmatch(quantity)):
        raise Refused(
            Refusal.INVALID,
            "cannot take the field 'quantity' as it is: it must be a number of six digits at most, or a change like '+1'",
        )
    return Scale(process_type(kind), quantity, dyno_size(size) if size else None)


async def index(ask: Ask) -> Any:
    return [render.formation(ask.app, row) for row in ask.platform.formation(ask.app)]


async def info(ask: Ask) -> Any:
    return render.formation(ask.app, _row(ask, ask.params["type"]))


async def update(ask: Ask) -> Any:
    """Change several types at once, all or none."""
    changes = []
    for one in fields.items(fields.mapping(ask.body), "updates"):
        row = fields.mapping(one, "updates")
        changes.append(_scale(_row(ask, fields.text(row, "type")).type, row))
    rows = await ask.platform.scale(ask.account, ask.app, changes)
    return [render.formation(ask.app, row) for row in rows]


async def update_one(ask: Ask) -> Any:
    change = _scale(_row(ask, ask.params["type"]).type, fields.mapping(ask.body))
    rows = await ask.platform.scale(ask.account, ask.app, [change])
    return render.formation(ask.app, rows[0])
