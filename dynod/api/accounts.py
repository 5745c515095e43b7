"""Who you are: account, its features, and tokens as OAuth shows them. Members, keys and 2FA are later rooms."""

from typing import Any

from dynod.api import fields, render
from dynod.api.operation import Ask
from dynod.model.refused import Refusal, Refused


async def info(ask: Ask) -> Any:
    return render.account(ask.account)


async def rate_limits(ask: Ask) -> Any:
    """Say how many requests are left; asking costs none."""
    return {"remaining": ask.front.left(ask.account)}


async def features(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    return []


async def feature(ask: Ask) -> Any:
    """Refuse: there are none, and `labs` asks here first, then at the app."""
    raise Refused(Refusal.NOT_FOUND, f"cannot find the account feature {ask.params['feature']}")


async def quota(ask: Ask) -> Any:
    """Answer for one's own account, `~` or by its id or e-mail, which is what `heroku ps` of an eco app asks for."""
    if ask.params["account"] not in {"~", ask.account.id, ask.account.email}:
        raise Refused(Refusal.NOT_FOUND, "cannot find that account")
    return render.quota(ask.account, ask.platform.quota(ask.account))


async def teams(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    return []


def _authorization(ask: Ask, scope: list[str], description: str) -> Any:
    return render.authorization(ask.account, ask.token, scope, description)


async def authorize(ask: Ask) -> Any:
    """Give back the token that was sent as the password: `heroku login -i`, with the token for a password."""
    body = fields.mapping(ask.body)
    scope = fields.items(body, "scope") if body.get("scope") is not None else ["global"]
    words = [one for one in scope if isinstance(one, str)]
    return _authorization(ask, words, fields.optional_text(body, "description") or "dynod token")


async def authorizations(ask: Ask) -> Any:
    return [_authorization(ask, ["global"], "dynod token")]


async def authorization(ask: Ask) -> Any:
    """Show the one there is, `~` or by its id."""
    found = _authorization(ask, ["global"], "dynod token")
    if ask.params["authorization"] not in {"~", found["id"], ask.token}:
        raise Refused(Refusal.NOT_FOUND, "cannot find that authorization")
    return found


async def end_session(ask: Ask) -> Any:  # noqa: ARG001  # a handler
    """Log out: the client forgets its token, and that is all there is to forget."""
    return {}
