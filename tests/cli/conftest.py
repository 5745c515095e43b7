"""A control socket that answers from a dictionary, so that verbs can be tested without a platform."""

import asyncio
import json
import threading
from dataclasses import dataclass, field

import pytest

from dynod.cli.command import dyno
from dynod.link import serve
from dynod.model.refused import Refusal, Refused

APP = {
    "id": "a-1",
    "name": "demo",
    "acm": False,
    "maintenance": False,
    "web_url": "http://demo.localhost:8080/",
    "git_url": "https://127.0.0.1:5000/demo.git",
    "owner": {"email": "admin@localhost"},
    "region": {"name": "us"},
    "stack": {"name": "debian-12"},
    "build_stack": {"name": "debian-12"},
    "repo_size": None,
    "slug_size": 43_000_000,
}


@dataclass
class Control:
    """`answers`: method -> value, exception, or coroutine function of the call. `calls`: what was asked."""

    run: str
    answers: dict = field(default_factory=dict)
    calls: list = field(default_factory=list)

    async def answer(self, call):
        self.calls.append((call.method, call.params))
        if call.method not in self.answers:
            raise Refused(Refusal.NOT_FOUND, f"cannot find the operation {call.method}")
        answer = self.answers[call.method]
        if isinstance(answer, Exception):
            raise answer
        return await answer(call) if callable(answer) else answer

    def asked(self, method):
        """The params of the one call of this method."""
        (params,) = [params for name, params in self.calls if name == method]
        return params


@pytest.fixture
def control(tmp_path, monkeypatch):
    made = Control(str(tmp_path))
    made.answers["apps.info"] = APP
    made.answers["account.info"] = {"email": "admin@localhost"}
    (tmp_path / "ready.json").write_text(
        json.dumps(
            {
                "api": "https://127.0.0.1:5000",
                "token": "T0",
                "ca": "/ca.pem",
                "router": "http://127.0.0.1:8080",
            }
        )
    )
    monkeypatch.setenv("DYNOD_RUN", str(tmp_path))
    for name in ("HEROKU_APP", "DYNO_APP", "GIT_SSL_CAINFO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(serve(f"{tmp_path}/control.sock", made.answer))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield made

    async def end():
        server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # transports close in the next turn

    asyncio.run_coroutine_threadsafe(end(), loop).result(20)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def type_in(capsys):
    """Type a line; get (status, stdout, stderr)."""

    def typed(line):
        status = dyno(line.split() if isinstance(line, str) else line)
        said = capsys.readouterr()
        return status, said.out, said.err

    return typed
