"""Releases: list, create from a slug, roll back, and the release command's output."""

from typing import Any

from dynod.api import fields, render
from dynod.api.follow import follow
from dynod.api.operation import Ask
from dynod.api.slugs import resolve
from dynod.link import Call
from dynod.model.release import Release


def _json(ask: Ask, one: Release) -> Any:
    return render.release(ask.app, one, ask.links, ask.platform.current_release(ask.app))


async def index(ask: Ask) -> Any:
    current = ask.platform.current_release(ask.app)
    return [render.release(ask.app, one, ask.links, current) for one in ask.platform.releases(ask.app)]


async def info(ask: Ask) -> Any:
    return _json(ask, ask.platform.release(ask.app, ask.params["release"]))


async def create(ask: Ask) -> Any:
    """`{slug, description}` makes a new one of a slug, `{release}` rolls back."""
    body = fields.mapping(ask.body)
    back = fields.identity(body, "release")
    if back:
        old = ask.platform.release(ask.app, back)
        return _json(ask, await ask.platform.rollback(ask.account, ask.app, old))
    description = fields.optional_text(body, "description")
    slug = resolve(ask, fields.identity(body, "slug") or fields.text(body, "slug"))
    return _json(ask, await ask.platform.create_release(ask.account, ask.app, slug, description or None))


async def output(ask: Ask, call: Call) -> Any:
    """Stream what the release command wrote, live until it has ended."""
    release = ask.platform.release(ask.app, ask.params["release"])
    async with follow(ask.platform.release_output(ask.app, release)) as chunks:
        async for chunk in chunks:
            await call.item(chunk)
    return {"status": ask.platform.release(ask.app, release.id).status.value}
