"""Which buildpacks an app is built with, in order; and the registry's one question, asked by the CLI before it adds one."""

from typing import Any

from dynod.api import fields, render, shapes
from dynod.api.operation import Ask

URN = "urn:buildpack:"


async def index(ask: Ask) -> Any:
    return [render.buildpack(ordinal, url) for ordinal, url in enumerate(ask.app.buildpacks)]


async def update(ask: Ask) -> Any:
    """Replace the whole list."""
    updates = fields.items(fields.mapping(ask.body), "updates")
    urls = [fields.text(fields.mapping(one, "updates"), "buildpack").removeprefix(URN) for one in updates]
    app = await ask.platform.set_buildpacks(ask.account, ask.app, urls)
    return [render.buildpack(ordinal, url) for ordinal, url in enumerate(app.buildpacks)]


async def lookup(ask: Ask) -> Any:
    """Answer for any name: whether there is such a pack is said when it is set."""
    name = ask.params["buildpack"]
    return {**shapes.named("buildpack", name), "blob_url": f"{URN}{name}"}
