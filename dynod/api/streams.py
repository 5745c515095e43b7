"""Addresses that are keys: blobs to PUT and fetch, build and release output, log tails. HTTP only; no token, the path is the permission."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web

from dynod.api import logs, uploads
from dynod.api.follow import follow
from dynod.api.operation import Front
from dynod.engine.platform import SlugAsk
from dynod.model.app import Account
from dynod.model.refused import Refusal, Refused

CHUNK = 256 * 1024
PATIENCE = 0.5  # seconds for a stream to be refused before its answer begins
QUIET = 20.0  # seconds until a tail without lines shows that it lives


class Streams:
    """The handlers, and the set of those that would go on for ever and must be told when we close."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._open: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.put("/blobs/source/{seal}", self.put_source),
            web.get("/blobs/source/{seal}", self.get_source, allow_head=False),
            web.put("/blobs/slug-upload/{seal}", self.put_slug),
            web.get("/blobs/slug/{seal}", self.get_slug, allow_head=False),
            web.get("/streams/output/{seal}", self.output, allow_head=False),
            web.get("/streams/logs/{seal}", self.logs, allow_head=False),
        ]

    async def close(self) -> None:
        """End every stream."""
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _opened(self, request: web.Request, purpose: str) -> Any:
        return self._front.seal.open(purpose, request.match_info["seal"], self._front.links().now)

    async def put_source(self, request: web.Request) -> web.StreamResponse:
        path = uploads.source_path(self._front.uploads, self._opened(request, "source"))
        await uploads.receive(
            request.content.iter_chunked(CHUNK), path, self._front.platform.settings.checkout_bytes
        )
        return web.json_response({})

    async def get_source(self, request: web.Request) -> web.StreamResponse:
        return _file(uploads.source_path(self._front.uploads, self._opened(request, "source")))

    async def put_slug(self, request: web.Request) -> web.StreamResponse:
        """Take an announced slug's tar.gz: the platform checks and unpacks it before this is answered."""
        ident = str(self._opened(request, "slug-upload"))
        about = uploads.pending_slug(self._front.uploads, ident)
        if about is None:
            raise Refused(
                Refusal.GONE, "cannot take this slug any more: it was announced more than a day ago"
            )
        if about["slug"] is not None:
            raise Refused(Refusal.CONFLICT, "cannot take this slug twice: its blob is already here")
        path = uploads.slug_path(self._front.uploads, ident)
        await uploads.receive(
            request.content.iter_chunked(CHUNK), path, self._front.platform.settings.slug_bytes
        )
        await asyncio.shield(self._add_slug(ident, path, about))
        return web.json_response({})

    async def _add_slug(self, ident: str, path: str, about: Any) -> None:
        wanted, platform = about["wanted"], self._front.platform
        types: dict[str, str] = wanted["process_types"]
        asked = SlugAsk(
            path,
            types,
            wanted["commit"],
            wanted["commit_description"],
            wanted["stack"],
            wanted["buildpack"],
            wanted["checksum"],
        )
        try:
            slug = await platform.add_slug(Account(**about["account"]), platform.app(about["app"]), asked)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        await uploads.settle_slug(self._front.uploads, ident, slug.id)

    async def get_slug(self, request: web.Request) -> web.StreamResponse:
        app_id, ident = self._opened(request, "slug")
        platform = self._front.platform
        return _file(platform.slug_blob(platform.slug(platform.app(app_id), ident)))

    async def output(self, request: web.Request) -> web.StreamResponse:
        """Send a build's or a release's output as plain bytes, live; the end is the end of the body."""
        kind, app_id, ident = self._opened(request, "output")
        platform = self._front.platform
        app = platform.app(app_id)
        if kind == "build":
            chunks = platform.build_output(app, platform.build(app, ident))
        else:
            chunks = platform.release_output(app, platform.release(app, ident))
        return await self._pour(request, "text/plain; charset=utf-8", chunks)

    async def logs(self, request: web.Request) -> web.StreamResponse:
        """Send lines as events, or as plain text to who did not ask for events."""
        query, start = logs.unsealed(self._opened(request, "logs"))
        last_id = request.headers.get("Last-Event-ID", "")
        if not last_id and self._front.links().now > start:
            raise Refused(
                Refusal.NOT_FOUND, "cannot find this log session: it was not begun within five minutes"
            )
        self._front.platform.app(query.app)  # with it the session is gone, and nobody shall come back for it
        lines = self._front.platform.logs(logs.resumed(query, last_id))
        events = "text/event-stream" in request.headers.get("Accept", "")
        if not events:
            return await self._pour(request, "text/plain; charset=utf-8", logs.plain(lines))
        # The CLI waits this long before it ends (no tail) or comes back (tail).
        first = f"retry: {1000 if query.tail else 1}\n\n".encode()
        return await self._pour(
            request, "text/event-stream", logs.events(lines, last_id), first, b": alive\n\n"
        )

    async def _pour(
        self,
        request: web.Request,
        kind: str,
        chunks: AsyncIterator[bytes],
        first: bytes = b"",
        alive: bytes = b"",
    ) -> web.StreamResponse:
        """Answer with what comes, as it comes. What is refused at once is an answer like others, later it breaks the stream off."""
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        response = web.StreamResponse(headers={"Content-Type": kind, "Cache-Control": "no-cache"})
        coming = asyncio.ensure_future(anext(chunks, None))
        try:
            await asyncio.wait({coming}, timeout=PATIENCE)
            if coming.done():
                coming.result()
            await response.prepare(request)
            await response.write(first)
            while True:
                done, _ = await asyncio.wait({coming}, timeout=QUIET if alive else None)
                chunk = coming.result() if done else alive
                if chunk is None:
                    break
                if done:
                    coming = asyncio.ensure_future(anext(chunks, None))
                await response.write(chunk)
            await response.write_eof()
        except ConnectionError:
            pass  # the reader has gone
        finally:
            self._open.discard(task)
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
            async with follow(chunks):
                pass
        return response


def _file(path: str) -> web.StreamResponse:
    return web.FileResponse(path, headers={"Content-Type": "application/gzip"})
