"""Which buildpacks an app is built with, in order; and the registry's one question, asked by the CLI before it adds one."""

from typing import Any

from dynod.api import fields, render, shapes
from dynod.api.operation import Ask
from dynod.model.refused import Refusal, Refused

URN = "urn:buildpack:"
SHIPPED = ("nodejs", "python", "procfile")  # slugc/packs


async def index(ask: Ask) -> Any:
    return [render.buildpack(ordinal, url) for ordinal, url in enumerate(ask.app.buildpacks)]


def _pack(one: Any) -> str:
    """Read what slugc can find: the name of a shipped one, or an address."""
    url = fields.text(fields.mapping(one, "updates"), "buildpack").removeprefix(URN)
    if url.removeprefix("heroku/").lower() in SHIPPED or url.startswith(
        ("http://", "https://", "file://", "/")
    ):
        return url
    names = ", ".join(f"heroku/{each}" for each in SHIPPED)
    raise Refused(
        Refusal.INVALID,
        f"cannot use the buildpack {url[:100]!r}: this machine ships {names}; any other needs its git or .tgz URL",
    )


async def update(ask: Ask) -> Any:
    """Replace the whole list."""
    urls = [_pack(one) for one in fields.items(fields.mapping(ask.body), "updates")]
    app = await ask.platform.set_buildpacks(ask.account, ask.app, urls)
    return [render.buildpack(ordinal, url) for ordinal, url in enumerate(app.buildpacks)]


async def lookup(ask: Ask) -> Any:
    """Answer for any name: the CLI looks at no status, so whether there is such a pack is said when it is set."""
    name = ask.params["buildpack"]
    return {**shapes.named("buildpack", name), "blob_url": f"{URN}{name}"}
