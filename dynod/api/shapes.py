"""What looks alike wherever it stands in an answer: a time, an id, a thing by its name, an app, a user. render.py has whole resources."""

import uuid
from datetime import UTC, datetime
from typing import Any

from dynod.model.app import App

Json = dict[str, Any]
REGION = "us"  # the CLI marks apps of any other region with its name; one machine is one region


def stamp(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def fixed_id(kind: str, name: str) -> str:
    """Return the uuid of something that is known by its name alone."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"dynod:{kind}:{name}"))


def named(kind: str, name: str) -> Json:
    return {"id": fixed_id(kind, name), "name": name}


def of_app(app: App) -> Json:
    """Say whose something is."""
    return {"id": app.id, "name": app.name}


def user(email: str, app: App) -> Json:
    """Name who did something to an app; only its owner has an account."""
    known = email == app.owner.email
    return {"id": app.owner.id if known else fixed_id("user", email), "email": email}
