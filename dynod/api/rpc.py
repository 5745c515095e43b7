"""The table over RUN/control.sock: MessagePack-RPC, a method per row's name.

Params are one map: what the path's braces name, plus `body`, and `range` for who wants pages (without it a list is whole). The result is
the JSON value that HTTP would send. Streams (operations.STREAMS) have no HTTP row: items come before their result.
"""

import asyncio
import contextlib
import grp
import os
from typing import Any

from dynod.api import auth
from dynod.api.operation import Front, Operation, Stream
from dynod.api.operations import OPERATIONS, STREAMS, parameters
from dynod.api.perform import ask, perform
from dynod.link import Call, Handler, serve
from dynod.model.refused import Refusal, Refused

_ROWS: dict[str, Operation | Stream] = {row.name: row for row in OPERATIONS} | {
    row.name: row for row in STREAMS
}


def _params(row: Operation | Stream, given: Any) -> tuple[dict[str, str], Any, str | None]:
    """Split params into the path's, the body and the range; raise Refused for what is missing."""
    found = {} if given is None else given
    if not isinstance(found, dict):
        raise Refused(Refusal.BAD_REQUEST, f"cannot call {row.name}: its params must be one map")
    wanted = row.params if isinstance(row, Stream) else parameters(row.path)
    path = {name: found[name] for name in wanted if isinstance(found.get(name), str)}
    for name in wanted:
        if name not in path:
            raise Refused(Refusal.BAD_REQUEST, f"cannot call {row.name} without the string {name!r}")
    text = found.get("range")
    return path, found.get("body"), text if isinstance(text, str) else None


async def _perform(front: Front, row: Operation, given: Any, call: Call) -> Any:
    who = auth.peer(front.platform, call.connection.uid, call.connection.gid)
    path, body, text = _params(row, given)
    asked = ask(front, row.access, who, path, body, query={"extended": ""} if _extended(given) else None)
    return (await perform(row, asked, text, whole=text is None)).value


def _extended(given: Any) -> bool:
    return isinstance(given, dict) and given.get("extended") is True


def handler(front: Front) -> Handler:
    """Return what answers each call."""

    async def answer(call: Call) -> Any:
        row = _ROWS.get(call.method)
        match row:
            case Operation():
                return await _perform(front, row, call.params, call)
            case Stream():
                who = auth.peer(front.platform, call.connection.uid, call.connection.gid)
                path, body, _ = _params(row, call.params)
                return await row.handler(ask(front, row.access, who, path, body), call)
            case None:
                raise Refused(Refusal.NOT_FOUND, f"cannot find the operation {call.method[:100]!r}")

    return answer


async def serve_control(front: Front, path: str) -> asyncio.AbstractServer:
    """Listen; members of group dynod may connect, who they are is looked at with each call."""
    server = await serve(path, handler(front), mode=0o660)
    # No such group, or we are not root: its owner alone connects.
    with contextlib.suppress(KeyError, PermissionError):
        os.chown(path, -1, grp.getgrnam(auth.GROUP).gr_gid)
    return server
