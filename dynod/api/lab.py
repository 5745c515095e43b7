"""Time in a lab, which may be advanced."""

from typing import Any

from dynod.api import fields, shapes
from dynod.api.operation import Ask
from dynod.link import Call
from dynod.model.refused import Refusal, Refused

DECADE = 10 * 366 * 86_400


async def advance(ask: Ask, call: Call) -> Any:  # noqa: ARG001  # a stream's handler, without items
    """Let time pass, or (`wall_only`, which may go back) set the wall clock."""
    body = fields.mapping(ask.body)
    wall_only = bool(fields.optional_flag(body, "wall_only"))
    seconds = fields.number(body, "seconds", -DECADE if wall_only else 0, DECADE)
    if seconds is None:
        raise Refused(Refusal.INVALID, "cannot do this without the field 'seconds'")
    return {"now": shapes.stamp(await ask.platform.advance(seconds, wall_only=wall_only))}
