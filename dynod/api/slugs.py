"""Slugs that were made elsewhere: a row first, the blob by PUT after it, then a release may name it (HEROKU.md 3.4).

The id of the first answer stays good: once the blob came it is another name of the platform's slug (uploads.py remembers which).
"""

from typing import Any

from dynod.api import fields, render, shapes, uploads
from dynod.api.operation import Ask
from dynod.model.formation import process_type
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Slug


def resolve(ask: Ask, ident: str) -> Slug:
    """Find a slug by its id or by the id under which it was announced; raise Refused."""
    pending = uploads.pending_slug(ask.front.uploads, ident)
    if pending is None or pending["app"] != ask.app.id:
        return ask.platform.slug(ask.app, ident)
    if pending["slug"] is None:
        raise Refused(
            Refusal.INVALID, f"cannot use the slug {ident}: its blob was never PUT to its `blob.url`"
        )
    return ask.platform.slug(ask.app, pending["slug"])


async def info(ask: Ask) -> Any:
    return render.slug(ask.app, resolve(ask, ask.params["slug"]), ask.links)


async def create(ask: Ask) -> Any:
    """Announce a slug: answer its id and where its tar.gz goes."""
    body = fields.mapping(ask.body)
    types = fields.child(body, "process_types")
    commands = {process_type(name): fields.text(types, name) for name in types}
    if not commands:
        raise Refused(
            Refusal.INVALID, "cannot make a slug without the field 'process_types': name at least one"
        )
    stack = fields.identity(body, "stack") or ask.app.build_stack
    wanted = {
        "process_types": commands,
        "commit": fields.optional_text(body, "commit") or "",
        "commit_description": fields.optional_text(body, "commit_description") or "",
        "stack": stack,
        "buildpack": fields.optional_text(body, "buildpack_provided_description") or "",
        "checksum": fields.optional_text(body, "checksum") or "",
    }
    ident = await uploads.announce_slug(ask.front.uploads, ask.app.id, ask.account, wanted)
    return {
        "id": ident,
        "blob": {"method": "put", "url": ask.links.blob("slug-upload", ident)},
        "buildpack_provided_description": wanted["buildpack"] or None,
        "checksum": wanted["checksum"] or None,
        "commit": wanted["commit"] or None,
        "commit_description": wanted["commit_description"] or None,
        "created_at": shapes.stamp(ask.links.now),
        "process_types": commands,
        "size": None,
        "stack": shapes.named("stack", stack),
        "updated_at": shapes.stamp(ask.links.now),
    }
