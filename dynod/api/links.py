"""Addresses that the API hands out, and the seals that make some of them keys.

A stream's or a blob's URL is its own permission (no token is sent with it), so it carries a sealed value: what may be done, to what, until
when. Nothing is kept in memory for it: a restart of the control plane breaks no URL. Pure: the time comes in as `now`.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import Any

from dynod.model.domain import own_hostname, web_url
from dynod.model.refused import Refusal, Refused

DAY = 86_400.0
_GONE = (
    "cannot find what this address names: it has expired or was never given out; ask the API for a new one"
)


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass(frozen=True, slots=True)
class Seal:
    """Write values that only we can have written, each for one purpose and until one moment."""

    key: bytes

    def close(self, purpose: str, value: Any, expires: float) -> str:
        """Return the text that `open` takes back."""
        payload = _pack(json.dumps([expires, value], separators=(",", ":")).encode())
        return f"{payload}.{self._mark(purpose, payload)}"

    def open(self, purpose: str, text: str, now: float) -> Any:
        """Return the value; raise Refused(NOT_FOUND) for anything else than our own unexpired text."""
        payload, _, mark = text.partition(".")
        if not hmac.compare_digest(mark.encode(), self._mark(purpose, payload).encode()):
            raise Refused(Refusal.NOT_FOUND, _GONE)
        try:
            expires, value = json.loads(_unpack(payload))
        except (ValueError, binascii.Error) as error:
            raise Refused(Refusal.NOT_FOUND, _GONE) from error
        if now > expires:
            raise Refused(Refusal.NOT_FOUND, _GONE)
        return value

    def _mark(self, purpose: str, payload: str) -> str:
        text = f"{purpose}\0{payload}".encode()
        return _pack(hmac.digest(self.key, text, hashlib.sha256))


@dataclass(frozen=True, slots=True)
class Links:
    """`api` is `https://HOST:PORT` as the client reached us (a tunnel may change it), `domain` and `web_port` the router's."""

    api: str
    domain: str
    web_port: int
    seal: Seal
    now: float

    @property
    def api_host(self) -> str:
        """`127.0.0.1`, without the port."""
        return self.api.removeprefix("https://").rpartition(":")[0]

    def web(self, name: str) -> str:
        """Return where an app answers."""
        return web_url(name, self.domain, self.web_port)

    def hostname(self, name: str) -> str:
        return own_hostname(name, self.domain)

    def git(self, name: str) -> str:
        return f"{self.api}/{name}.git"

    def output(self, kind: str, app: str, ident: str) -> str:
        """Return where a build's or a release's output is read; the same all day, so that ETags hold."""
        until = (self.now // DAY + 2) * DAY
        return f"{self.api}/streams/output/{self.seal.close('output', [kind, app, ident], until)}"

    def blob(self, kind: str, ident: Any, seconds: float = 3600.0) -> str:
        """Return where a blob is PUT or fetched; good for an hour (HEROKU.md 3.4)."""
        until = (self.now // 60 + 1) * 60 + seconds
        return f"{self.api}/blobs/{kind}/{self.seal.close(kind, ident, until)}"
