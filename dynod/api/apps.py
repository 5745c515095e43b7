"""Apps, and what an app's page shows beside it: owner, add-ons, pipeline, domains."""

from typing import Any

from dynod.api import fields, render, shapes
from dynod.api.git import remove_repository
from dynod.api.operation import Ask
from dynod.model.app import App
from dynod.model.refused import Refusal, Refused


def shown(ask: Ask, app: App) -> Any:
    """Render an app with what is read of its current release and its formation."""
    current = ask.platform.current_release(app)
    slug = None if current is None or current.slug is None else ask.platform.slug(app, current.slug)
    released_at = None if current is None else current.created_at
    return render.app(app, ask.links, slug, released_at, render.tier(ask.platform.formation(app)))


async def index(ask: Ask) -> Any:
    return [shown(ask, app) for app in ask.platform.apps() if app.owner.id == ask.account.id]


async def info(ask: Ask) -> Any:
    return shown(ask, ask.app)


async def create(ask: Ask) -> Any:
    body = fields.mapping(ask.body)
    region = fields.identity(body, "region")
    if region not in {None, "", shapes.REGION}:
        raise Refused(
            Refusal.INVALID,
            f"cannot find the region {region!r}: this machine is the only one, and its name is {shapes.REGION}",
        )
    name, stack = fields.optional_text(body, "name"), fields.identity(body, "stack")
    return shown(ask, await ask.platform.create_app(ask.account, name or None, stack or None))


async def update(ask: Ask) -> Any:
    """Change what is named, all of it or nothing."""
    body = fields.mapping(ask.body)
    app = await ask.platform.update_app(
        ask.account,
        ask.app,
        name=fields.optional_text(body, "name") or None,
        stack=fields.identity(body, "build_stack") or None,
        maintenance=fields.optional_flag(body, "maintenance"),
    )
    return shown(ask, app)


async def destroy(ask: Ask) -> Any:
    gone = shown(ask, ask.app)
    await ask.platform.destroy_app(ask.account, ask.app)
    await remove_repository(ask.platform.settings.state, ask.app.id)
    return gone


async def addons(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    """Say that there are none, of an app or at all, nor attached ones; elsewhere.py refuses to make any."""
    return []


async def collaborators(ask: Ask) -> Any:
    return [render.collaborator(ask.app)]


async def coupling(ask: Ask) -> Any:
    """Refuse: apps are in no pipeline yet, and the CLI takes not_found for that."""
    raise Refused(Refusal.NOT_FOUND, f"cannot find a pipeline with the app {ask.app.name}")
