"""What every verb works with: the typed line, the instance it speaks to, and which app is meant."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from dynod.cli.client import Client, Stream
from dynod.cli.options import Given, Usage
from dynod.model.settings import control_socket

_NOT_FOUND = "Couldn't find that "
_LISTS = {"app": "apps", "build": "builds", "dyno": "ps", "release": "releases"}
DEFAULT_RUN = "/run/dynod"
_REMOTE_URL = re.compile(r"https?://(?:[^@/]*@)?([^/]+)/([a-z][a-z0-9-]*)\.git/?")


class Session:
    """One verb's run. The connection is made at the first call, so that help and usage need no platform."""

    def __init__(self, given: Given) -> None:
        self.given = given
        self._asked: Mapping[str, Any] = {}

    @property
    def run(self) -> str:
        return self.given.text("run") or os.environ.get("DYNOD_RUN") or DEFAULT_RUN

    @cached_property
    def client(self) -> Client:
        return Client(control_socket(self.run))

    def close(self) -> None:
        """Hang up, if there was a call."""
        if "client" in self.__dict__:
            self.client.close()

    @cached_property
    def ready(self) -> dict[str, Any]:
        """RUN/ready.json; empty where it cannot be read."""
        try:
            with open(f"{self.run}/ready.json", encoding="utf-8") as file:
                value = json.load(file)
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    @cached_property
    def git_host(self) -> str:
        """HOST:PORT of this instance's git and API."""
        return str(self.ready.get("api", "https://127.0.0.1:5000")).removeprefix("https://")

    def git_url(self, app: str) -> str:
        return f"https://{self.git_host}/{app}.git"

    def named_app(self) -> str:
        """The app that a verb's one word names, or -a; '' where neither is there; raise Usage where they differ."""
        names = {*self.given.words, *filter(None, (self.given.text("app"),))}
        if len(names) > 1:
            raise Usage(f"cannot tell which app is meant: {' or '.join(sorted(names))}")
        return next(iter(names), "")

    @cached_property
    def app(self) -> str:
        """The app's name or id; raise Usage when none is meant."""
        named = self.given.text("app") or os.environ.get("HEROKU_APP") or os.environ.get("DYNO_APP")
        if named and not self.given.text("remote"):
            return named
        return self._app_of_remote()

    def _app_of_remote(self) -> str:
        found = remotes(self.git_host)
        wanted = self.given.text("remote")
        if wanted:
            if wanted not in found:
                raise Usage(f"cannot find an app behind the git remote {wanted!r}: name it with -a APP")
            return found[wanted]
        apps = sorted(set(found.values()))
        if len(apps) == 1:
            return apps[0]
        if apps:
            raise Usage(
                f"cannot tell which app is meant: the git remotes name {', '.join(apps)}; use -a APP or -r REMOTE"
            )
        raise Usage(
            "cannot tell which app is meant: use -a APP, set HEROKU_APP, or run this where git has a remote for it"
        )

    def call(self, method: str, body: Any = None, **path: Any) -> Any:
        """Call an operation of the API by its name (docs/api.md)."""
        self._asked = path
        return self.client.call(method, {**path, **({} if body is None else {"body": body})})

    def app_call(self, method: str, body: Any = None, **path: Any) -> Any:
        """Call an operation on the app that is meant."""
        return self.call(method, body, app=self.app, **path)

    def app_stream(self, method: str, body: Any = None, **path: Any) -> Stream:
        """Ask an operation on the app for items."""
        self._asked = {"app": self.app, **path}
        return self.client.stream(
            method, {"app": self.app, **path, **({} if body is None else {"body": body})}
        )

    def told(self, message: str) -> str:
        """Say in our words, with the name and the way out, what the API says in Heroku's and without."""
        kind = message.removeprefix(_NOT_FOUND).removesuffix(".")
        name = self._asked.get(kind) or self._asked.get("type")
        if not message.startswith(_NOT_FOUND) or kind not in _LISTS or not name:
            return message
        of = "" if kind == "app" else f" of {self._asked['app']}"
        return f"cannot find the {kind} {name!r}{of}; dyno {_LISTS[kind]} lists those there are"


def git(*argv: str) -> str | None:
    """Run git in the current directory; None where it fails or there is no git."""
    try:
        done = subprocess.run(["git", *argv], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


def remotes(host: str) -> dict[str, str]:
    """Find the git remotes that point at `host`: remote's name -> app's name."""
    lines = git("config", "--get-regexp", r"^remote\..*\.url$") or ""
    found: dict[str, str] = {}
    for line in lines.splitlines():
        key, _, url = line.partition(" ")
        match = _REMOTE_URL.fullmatch(url)
        if match is not None and match[1] == host:
            found[key.removeprefix("remote.").removesuffix(".url")] = match[2]
    return found
