"""The asking side of ACME (RFC 8555): one account at one authority, one certificate per name, proven by HTTP-01.

It waits by asking again (an authority tells nobody when it has looked): where the authority says when (Retry-After), then.
Owns no decision when to ask (core/acme.py), and does not answer the challenge itself: `Proof` has the router do that.
"""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp.client_exceptions import ClientError
from cryptography.hazmat.primitives.asymmetric import ec

from dynod.host.certificates import request
from dynod.wire import jose

if TYPE_CHECKING:
    from aiohttp import ClientSession

PATIENCE = 120.0  # seconds for one certificate, from order to chain
_PAUSE = 1.0  # where the authority does not say
_BAD_NONCE = "urn:ietf:params:acme:error:badNonce"
_NO_ACCOUNT = "urn:ietf:params:acme:error:accountDoesNotExist"
_TRIES = 10  # with a nonce each: Pebble refuses good ones by chance, for our practice

Proof = Callable[[str, str], Awaitable[None]]


class AcmeFailed(Exception):
    """No certificate came; the text says why in the authority's words."""


class _Forgotten(AcmeFailed):
    """The authority knows our account no more: one that was set up anew, as test authorities are."""


@dataclass(frozen=True, slots=True)
class _Answer:
    body: Any
    text: str
    location: str
    pause: float


class Acme:
    """`directory`: the authority's address; `trusted`: PEM file of who signed its own certificate, '' for the system's."""

    def __init__(
        self, directory: str, key: ec.EllipticCurvePrivateKey, email: str, trusted: str = ""
    ) -> None:
        self._directory = directory
        self._key = key
        self._email = email
        self._trusted = trusted
        self._urls: Mapping[str, str] = {}
        self._account: str | None = None
        self._nonce = ""
        self._turn = asyncio.Lock()  # a nonce is good for one request

    async def certificate(self, name: str, key: ec.EllipticCurvePrivateKey, proof: Proof) -> str:
        """Return the chain for a name; `proof(token, answer)` returns once routers answer so. Raise AcmeFailed."""
        try:
            context = ssl.create_default_context(cafile=self._trusted or None)
        except OSError as error:
            raise AcmeFailed(
                f"cannot use {self._trusted}, which acme_trusted in dynod.toml names: {error}"
            ) from error
        from aiohttp.client import ClientSession, ClientTimeout  # noqa: PLC0415  # 3 MiB of which most machines have no need
        from aiohttp.connector import TCPConnector  # noqa: PLC0415  # likewise

        timeout = ClientTimeout(total=30)
        try:
            async with (
                asyncio.timeout(PATIENCE),
                ClientSession(connector=TCPConnector(ssl=context), timeout=timeout) as session,
            ):
                return await self._fetch(session, name, key, proof)
        except TimeoutError as error:
            raise AcmeFailed(f"the authority took more than {PATIENCE:.0f} s") from error
        except (ClientError, OSError) as error:
            raise AcmeFailed(f"cannot reach the authority {self._directory}: {error}") from error
        except (KeyError, TypeError, ValueError) as error:
            raise AcmeFailed(f"the authority's answer makes no sense: {error!r}") from error

    async def _fetch(
        self, session: "ClientSession", name: str, key: ec.EllipticCurvePrivateKey, proof: Proof
    ) -> str:
        try:
            order = await self._order(session, name)
        except _Forgotten:
            self._account = None
            order = await self._order(session, name)
        for url in order.body["authorizations"]:
            await self._prove(session, url, proof)
        csr = {"csr": jose.b64(request(key, name))}
        await self._post(session, order.body["finalize"], csr)
        done = await self._settled(session, order.location, {"valid"})
        return (await self._post(session, done["certificate"], None)).text

    async def _order(self, session: "ClientSession", name: str) -> _Answer:
        if self._account is None:
            await self._register(session)
        wanted = {"identifiers": [{"type": "dns", "value": name}]}
        return await self._post(session, self._urls["newOrder"], wanted)

    async def _register(self, session: "ClientSession") -> None:
        async with session.get(self._directory) as answer:
            self._urls = await answer.json(content_type=None)
        contact = {"contact": [f"mailto:{self._email}"]} if self._email else {}
        made = await self._post(session, self._urls["newAccount"], {"termsOfServiceAgreed": True, **contact})
        self._account = made.location

    async def _prove(self, session: "ClientSession", url: str, proof: Proof) -> None:
        asked = (await self._post(session, url, None)).body
        if asked["status"] == "valid":
            return
        challenge = next((each for each in asked["challenges"] if each["type"] == "http-01"), None)
        if challenge is None:
            raise AcmeFailed("the authority offers no HTTP-01 challenge")
        token = str(challenge["token"])
        await proof(token, f"{token}.{jose.thumbprint(self._key)}")
        await self._post(session, challenge["url"], {})
        await self._settled(session, url, {"valid"})

    async def _settled(self, session: "ClientSession", url: str, good: set[str]) -> Any:
        while True:
            answer = await self._post(session, url, None)
            status = answer.body["status"]
            if status in good:
                return answer.body
            if status not in {"pending", "processing", "ready"}:
                raise AcmeFailed(_why(answer.body))
            await asyncio.sleep(answer.pause)

    async def _post(self, session: "ClientSession", url: str, payload: Any) -> _Answer:
        async with self._turn:
            for _ in range(_TRIES):
                if not self._nonce:
                    async with session.head(self._urls["newNonce"]) as fresh:
                        self._nonce = fresh.headers["Replay-Nonce"]
                nonce, self._nonce = self._nonce, ""
                body = jose.signed(self._key, url, nonce, payload, self._account)
                headers = {"Content-Type": "application/jose+json"}
                async with session.post(url, json=body, headers=headers) as answer:
                    self._nonce = answer.headers.get("Replay-Nonce", "")
                    data = await answer.read()
                    said = json.loads(data) if data and "json" in answer.content_type else None
                    if answer.status < 400:
                        pause = answer.headers.get("Retry-After", "")
                        wait = float(pause) if pause.isdigit() else _PAUSE
                        return _Answer(said, data.decode(), answer.headers.get("Location", ""), wait)
                kind = said.get("type") if isinstance(said, dict) else ""
                if kind != _BAD_NONCE:
                    why = _problem(said) or f"the authority answered {answer.status}"
                    raise _Forgotten(why) if kind == _NO_ACCOUNT else AcmeFailed(why)
            raise AcmeFailed("the authority takes no nonce of its own")


def _problem(said: Any) -> str:
    """Say what a problem document says (RFC 7807)."""
    if not isinstance(said, dict):
        return ""
    parts = [str(part.get("detail", "")) for part in said.get("subproblems") or () if isinstance(part, dict)]
    return "; ".join(filter(None, [str(said.get("detail") or said.get("type") or ""), *parts]))[:500]


def _why(body: Any) -> str:
    """Find the error in an order or an authorization that ended badly."""
    for challenge in body.get("challenges") or ():
        if why := _problem(challenge.get("error")):
            return why
    return _problem(body.get("error")) or f"the authority says it is {body.get('status')}"
