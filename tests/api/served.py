"""A real API (TLS, sockets, files) over the fake platform, and a client that trusts it."""

import asyncio
import contextlib
import io
import json
import ssl
import tempfile
from dataclasses import dataclass

import aiohttp
import uvloop

from dynod.api.server import ApiServer, serve_api
from dynod.model.settings import Endpoint, Settings
from tests.api import shapes
from tests.api.fake_platform import FakePlatform


@dataclass
class Answer:
    status: int
    headers: dict
    body: object


@dataclass
class Whole:
    """All of it: the fake, the API, a session that trusts its authority."""

    platform: FakePlatform
    api: ApiServer
    session: aiohttp.ClientSession
    state: str
    run: str

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.api.api_port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.api.ca_path)

    async def ask(self, method, path, body=None, token="owner-token", **headers) -> Answer:
        sent = {"Accept": "application/vnd.heroku+json; version=3"}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = (
            io.BytesIO(body)
            if isinstance(body, bytes)
            else None
            if body is None
            else json.dumps(body).encode()
        )
        url = path if path.startswith("https:") else self.url + path
        async with self.session.request(method, url, data=data, headers=sent) as response:
            raw = await response.read()
            is_json = response.content_type == "application/json" and raw
            answer = Answer(response.status, response.headers, json.loads(raw) if is_json else raw)
        if is_json and path.startswith("/"):
            why = shapes.of(method, path, answer.status, answer.body)
            assert not why, f"{method} {path}{why}"
        return answer


@contextlib.asynccontextmanager
async def whole(metrics=None, **kwargs):
    """Start an API over a fake platform in a directory of its own; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dynod-api-") as directory:
        state, run = f"{directory}/state", f"{directory}/run"
        settings = Settings(
            state=state,
            run=run,
            api=Endpoint("127.0.0.1", 0),
            router=Endpoint("127.0.0.1", 8080),
            metrics=metrics,
        )
        platform = FakePlatform(settings)
        api = await serve_api(platform, settings, **kwargs)
        try:
            trust = ssl.create_default_context(cafile=api.ca_path)
            async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust)) as session:
                yield Whole(platform, api, session, state, run)
        finally:
            await api.close()
            await platform.close()


def run(story, **kwargs):
    """Run `story(whole)` to its end, with a generous cap."""

    async def told():
        async with asyncio.timeout(120), whole(**kwargs) as everything:
            return await story(everything)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the daemon runs
        return runner.run(told())


class Served:
    """One API for a module's tests: each runs its story on the same loop. Close it."""

    def __init__(self, **kwargs) -> None:
        self._runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        self._context = whole(**kwargs)
        self.whole = self._runner.run(self._context.__aenter__())

    def run(self, story):
        async def capped():
            async with asyncio.timeout(120):
                return await story

        return self._runner.run(capped())

    def close(self) -> None:
        self._runner.run(self._context.__aexit__(None, None, None))
        self._runner.close()
