"""One request from its asker's words to its answer, the same for HTTP and the unix socket: access, handler, paging.

A handler once started runs to its end, whether or not the client waits for it: a change is made whole or not at all, never as far as the
client's patience went.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dynod.api import ranges
from dynod.api.operation import ANYBODY, Access, Ask, Front, Operation, permit
from dynod.model.app import Account

_running: set[asyncio.Task[Any]] = set()  # the loop keeps no strong reference of its own


@dataclass(frozen=True, slots=True)
class Answer:
    """`next` is the `Next-Range`, '' when all was given; `shown` says what was, for `Content-Range`."""

    status: int
    value: Any
    next: str = ""
    shown: str = ""


def ask(
    front: Front,
    access: Access,
    account: Account,
    params: Mapping[str, str],
    body: Any,
    *,
    api: str | None = None,
    query: Mapping[str, str] | None = None,
    token: str = "",
) -> Ask:
    """Put a request into words for a handler: find its app, and let in who may; raise Refused."""
    app = front.platform.app(params["app"]) if "app" in params else None
    if app is not None and access is not Access.PUBLIC:
        permit(account, app, access)
    return Ask(front, account, front.links(api), params, body, query or {}, token, app)


def account(front: Front, access: Access, token: str) -> Account:
    """Return whose token it is; rows for everybody look at none."""
    return ANYBODY if access is Access.PUBLIC else front.platform.account(token)


async def perform(operation: Operation, asked: Ask, range_text: str | None, *, whole: bool = False) -> Answer:
    """Run the handler and cut its list to the range, or at 200 as every client of the API expects, unless it wants the `whole`."""
    window = None if whole else _window(operation, range_text)
    task = asyncio.ensure_future(operation.handler(asked))
    _running.add(task)
    task.add_done_callback(_running.discard)
    value = await asyncio.shield(task)
    if window is None:
        return Answer(operation.status, value)
    page = ranges.page(value, window)
    shown = f"{window.by} {page.items[0][window.by]}..{page.items[-1][window.by]}" if page.items else ""
    if page.next is None:
        return Answer(operation.status, page.items, "", shown)
    return Answer(206, page.items, str(page.next), shown)


def _window(operation: Operation, text: str | None) -> ranges.Range | None:
    if not operation.orders or operation.method != "GET":
        return None
    if text is None:
        return ranges.Range(operation.orders[0])
    return ranges.parse(text, operation.orders)
