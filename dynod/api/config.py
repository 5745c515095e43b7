"""Config vars: read, and change several in one release."""

from typing import Any

from dynod.api import fields
from dynod.api.operation import Ask


async def info(ask: Ask) -> Any:
    return dict(ask.platform.config(ask.app))


async def update(ask: Ask) -> Any:
    changes = fields.changes(ask.body, "body")
    return dict(await ask.platform.set_config(ask.account, ask.app, changes))


async def of_release(ask: Ask) -> Any:
    return dict(ask.platform.release(ask.app, ask.params["release"]).config)
