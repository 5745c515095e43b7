"""The table over HTTPS: JSON, Platform API v3's headers, and the one place where refusals become error bodies.

Git and streams hang on the same application (git.py, streams.py). Common rules: CLI.md 2, HEROKU.md 0.
"""

import hashlib
import json
import logging
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from aiohttp import hdrs, web

from dynod.api import auth
from dynod.api.accounts import rate_limits
from dynod.api.elsewhere import absent
from dynod.api.operation import Access, Front, Operation
from dynod.api.perform import Answer, account, ask, perform
from dynod.core.allowance import MOST
from dynod.model.refused import Refusal, Refused, disk_refusal

BODY = 1024 * 1024
_UNKNOWN = (
    "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), "
    "and did you specify your intended version with the `Accept` header?"
)
_HOST = re.compile(r"(?:[A-Za-z0-9.-]{1,255}|\[[0-9a-fA-F:]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)
_Next = Callable[[web.Request], Awaitable[web.StreamResponse]]
_BEGUN = web.RequestKey("begun", bool)
_LEFT = web.RequestKey("left", int)  # requests
_log = logging.getLogger(__name__)


def _json(value: Any, status: int, headers: dict[str, str]) -> web.Response:
    body = json.dumps(value, ensure_ascii=False).encode(errors="replace")
    return web.Response(
        status=status, body=body, headers=headers, content_type="application/json", charset="utf-8"
    )


def problem(id: str, message: str, status: int) -> web.Response:
    return _json({"id": id, "message": message}, status, {})


@web.middleware
async def errors(request: web.Request, handler: _Next) -> web.StreamResponse:
    """Turn what was raised into an error body. A response that has begun can only be broken off."""
    try:
        return await handler(request)
    except (ConnectionError, TimeoutError):
        raise
    except Exception as error:  # one request's bug must not be silent, nor another's
        if request.get(_BEGUN):
            _log.warning("breaking off %s %s: %s", request.method, request.path, error)
            raise ConnectionResetError(str(error)) from error
        return _error(request, error)


def _error(request: web.Request, error: Exception) -> web.StreamResponse:
    match disk_refusal(error) or error:
        case Refused() as refused:
            return problem(refused.refusal.id, refused.message, refused.refusal.status)
        case web.HTTPNotFound() | web.HTTPMethodNotAllowed():
            return problem(Refusal.NOT_FOUND.id, _UNKNOWN, 404)
        case web.HTTPException() as refused:
            return problem("bad_request", f"cannot take the request: {refused.reason}", refused.status)
        case _:
            _log.error("%s %s failed", request.method, request.path, exc_info=error)
            return problem(
                "internal_server_error", "cannot do that: dynod itself has failed, its log says how", 500
            )


async def common_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Put on every answer what clients of the API look for."""
    request[_BEGUN] = True
    response.headers[hdrs.SERVER] = "dynod"
    response.headers["Request-Id"] = str(uuid.uuid4())
    response.headers["RateLimit-Remaining"] = str(request.get(_LEFT, MOST))  # of an account that is known
    response.headers.setdefault("Cache-Control", "private, no-cache")
    response.headers["X-Content-Type-Options"] = "nosniff"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def parse(data: bytes) -> Any:
    """Read a JSON body; nothing at all is null. Raise Refused(BAD_REQUEST) for what is no JSON or cannot be written as UTF-8."""
    if not data.strip():
        return None
    try:
        value = json.loads(data, parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate would fail much later
    except (ValueError, RecursionError) as error:
        raise Refused(Refusal.BAD_REQUEST, "cannot read the body: it is not JSON in UTF-8") from error
    return value


def base(request: web.Request) -> str | None:
    """Return our address as the client knows it, so that URLs work through a tunnel."""
    host = request.headers.get(hdrs.HOST, "")
    return f"https://{host}" if _HOST.fullmatch(host) else None


async def _handle(front: Front, operation: Operation, request: web.Request) -> web.StreamResponse:
    token = "" if operation.access is Access.PUBLIC else auth.token(request.headers.get(hdrs.AUTHORIZATION))
    who = account(front, operation.access, token)
    if operation.access is not Access.PUBLIC:
        request[_LEFT] = front.left(who) if operation.handler is rate_limits else front.spend(who)
    body = parse(await request.read())
    asked = ask(
        front,
        operation.access,
        who,
        request.match_info,
        body,
        api=base(request),
        query=request.query,
        token=token,
    )
    answer = await perform(operation, asked, request.headers.get(hdrs.RANGE))
    return _answered(request, operation, answer)


def _answered(request: web.Request, operation: Operation, answer: Answer) -> web.Response:
    headers: dict[str, str] = {}
    if operation.orders:
        headers[hdrs.ACCEPT_RANGES] = ", ".join(operation.orders)
    if answer.next:
        headers["Next-Range"] = answer.next
    if answer.shown:
        headers[hdrs.CONTENT_RANGE] = answer.shown.encode("ascii", "replace").decode()
    response = _json(answer.value, answer.status, headers)
    if operation.method == "GET":
        assert isinstance(response.body, bytes)
        tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
        if tag in request.headers.get(hdrs.IF_NONE_MATCH, ""):
            return web.Response(status=304, headers={**headers, hdrs.ETAG: tag})
        response.headers[hdrs.ETAG] = tag
    return response


async def _unknown(request: web.Request) -> web.StreamResponse:
    return problem(Refusal.NOT_FOUND.id, absent(request.path) or _UNKNOWN, 404)


def application(
    front: Front, operations: Iterable[Operation], more: Iterable[web.RouteDef]
) -> web.Application:
    """Hang the table, and what else there is, on one application."""
    app = web.Application(middlewares=[errors], client_max_size=BODY)
    for operation in operations:
        handler = partial(_handle, front, operation)
        for method in (operation.method, "HEAD") if operation.method == "GET" else (operation.method,):
            app.router.add_route(method, operation.path, handler)
    app.add_routes(more)
    app.router.add_route("*", "/{rest:.*}", _unknown)
    app.on_response_prepare.append(common_headers)
    return app
