"""What does not belong to anybody: regions, stacks, dyno sizes, and the status page."""

from typing import Any

from dynod.api import render, shapes
from dynod.api.operation import Ask
from dynod.model.formation import SIZES
from dynod.model.refused import Refusal, Refused


async def regions(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    return [render.region()]


async def region(ask: Ask) -> Any:
    found = render.region()
    if ask.params["region"] not in {found["name"], found["id"]}:
        raise Refused(
            Refusal.NOT_FOUND,
            f"cannot find the region {ask.params['region'][:100]!r}; there is {shapes.REGION}",
        )
    return found


async def stacks(ask: Ask) -> Any:
    """List the default stack first."""
    return [render.stack(name, default=number == 0) for number, name in enumerate(ask.platform.stacks())]


async def stack(ask: Ask) -> Any:
    for one in await stacks(ask):
        if ask.params["stack"] in {one["name"], one["id"]}:
            return one
    raise Refused(
        Refusal.NOT_FOUND,
        f"cannot find the stack {ask.params['stack'][:100]!r}; `stacks` lists those there are",
    )


async def sizes(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    """List Heroku's first, then those of dynod.toml."""
    return [render.size(one) for one in SIZES.values()]


async def size(ask: Ask) -> Any:
    for one in await sizes(ask):
        if ask.params["size"].lower() in {one["name"].lower(), one["id"]}:
            return one
    raise Refused(
        Refusal.NOT_FOUND,
        f"cannot find the dyno size {ask.params['size'][:100]!r}; `dyno-sizes` lists those there are",
    )


async def status(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    """Answer as status.heroku.com does. That you get an answer is the status."""
    return {
        "status": [{"system": system, "status": "green"} for system in ("Apps", "Data", "Tools")],
        "incidents": [],
        "scheduled": [],
    }
