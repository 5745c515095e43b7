"""An app and its owner."""

import re
from dataclasses import dataclass
from typing import NewType

from dynod.model.refused import Refusal, Refused

AppId = NewType("AppId", str)  # a uuid
AppName = NewType("AppName", str)

_APP_NAME = re.compile(r"[a-z][a-z0-9-]{1,28}[a-z0-9]")  # platform-api-schema.json, app.name


def app_name(text: str) -> AppName:
    """Check an app's name (HEROKU.md 7.2); raise Refused(INVALID)."""
    if not _APP_NAME.fullmatch(text):
        raise Refused(
            Refusal.INVALID,
            f"cannot use {text!r} as an app's name: it must start with a letter, end with a letter or digit, "
            "hold only lowercase letters, digits and dashes, and be 3 to 30 characters long",
        )
    return AppName(text)


@dataclass(frozen=True, slots=True)
class Account:
    """Who acts: `email` is what logs and releases show."""

    id: str
    email: str


@dataclass(frozen=True, slots=True)
class App:
    """`created_at`, `updated_at`: seconds since the epoch, UTC."""

    id: AppId
    name: AppName
    owner: Account
    created_at: float
    updated_at: float
    stack: str
    build_stack: str
    maintenance: bool = False
    buildpacks: tuple[str, ...] = ()
    detected_buildpack: str = ""  # what the last good build found, shown as `buildpack_provided_description`
    acm: bool = False  # certificates for its domains are ours to fetch and renew
