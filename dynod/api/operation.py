"""What a row of the table is, what a handler is asked with, and who may ask. The rows themselves are in operations.py."""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from dynod.api.links import Links, Seal
from dynod.api.rendezvous import Rendezvous
from dynod.core.allowance import Allowance
from dynod.engine.platform import Platform
from dynod.link import Call
from dynod.model.app import Account, App
from dynod.model.refused import Refusal, Refused

ANYBODY = Account("", "")


class Access(Enum):
    """PUBLIC needs no token, ACCOUNT any; the rest are an app's permissions (HEROKU.md 7.4)."""

    PUBLIC = "public"
    ACCOUNT = "account"
    VIEW = "view"
    DEPLOY = "deploy"
    OPERATE = "operate"
    MANAGE = "manage"


@dataclass(frozen=True, slots=True)
class Front:
    """What every request is answered with. `api` is our own base address, for who did not come by HTTP."""

    platform: Platform
    seal: Seal
    rendezvous: Rendezvous
    api: str
    uploads: str
    allowances: dict[str, Allowance] = field(default_factory=dict)  # by account

    def spend(self, account: Account) -> int:
        """Count a request; return how many are left."""
        spent = self.allowances.get(account.id, Allowance()).spent(time.monotonic())
        self.allowances[account.id] = spent
        return int(spent.left)

    def left(self, account: Account) -> int:
        """Say how many requests are left."""
        return int(self.allowances.get(account.id, Allowance()).now(time.monotonic()).left)

    def links(self, api: str | None = None) -> Links:
        """Return the addresses as seen from a client who reached us at `api`."""
        settings = self.platform.settings
        return Links(api or self.api, settings.domain, settings.router.port, self.seal, time.time())


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, whichever way it came. `token` is '' over the unix socket."""

    front: Front
    account: Account
    links: Links
    params: Mapping[str, str]
    body: Any = None
    query: Mapping[str, str] = field(default_factory=dict)
    token: str = ""
    found: App | None = None

    @property
    def platform(self) -> Platform:
        return self.front.platform

    @property
    def app(self) -> App:
        """Return the app of the path; only rows with `{app}` in it have one."""
        assert self.found is not None, "this row has no {app} in its path"
        return self.found


Handler = Callable[[Ask], Awaitable[Any]]
StreamHandler = Callable[[Ask, Call], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One row. `orders`: for a list, the properties it can be ranged by, its own order first."""

    name: str
    method: str
    path: str
    access: Access
    status: int
    handler: Handler
    orders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stream:
    """A row that only the unix socket has: items, then a result. `params` are the path's, without a path."""

    name: str
    params: tuple[str, ...]
    access: Access
    handler: StreamHandler


def permit(account: Account, app: App, access: Access) -> None:
    """Raise Refused(FORBIDDEN) unless the account may do that to the app. Today an app has its owner and nobody else."""
    if app.owner.id != account.id:
        raise Refused(
            Refusal.FORBIDDEN, f"cannot {access.value} the app {app.name}: it belongs to {app.owner.email}"
        )
