"""HTTP-01 challenges (RFC 8555 8.3): answered by the router itself, before any dyno, while the control plane fetches a certificate.

Only connections made while there are challenges are looked at this way, so that nobody else pays for it. A token that is not ours goes to
the app, which may fetch certificates of its own.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from router.headers import RequestHead
from router.server import Client

if TYPE_CHECKING:
    from router.proxy import Proxy

PREFIX = b"/.well-known/acme-challenge/"


def response(answer: str, *, head_only: bool) -> bytes:
    """Make the whole response."""
    body = answer.encode()
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\nServer: Heroku\r\n\r\n"
    return head % len(body) + (b"" if head_only else body)


class Challenged(Client):
    """A client that may be an authority's."""

    __slots__ = ("_challenges",)

    def __init__(self, proxy: "Proxy", challenges: Mapping[str, str]) -> None:
        super().__init__(proxy)
        self._challenges = challenges

    def data_received(self, data: bytes) -> None:
        """Let no head go on that was not looked at."""
        if self.exchange is None and not self._ending:
            self._buffer += data
            self.advance()
        else:
            super().data_received(data)

    def _serve(self, request: RequestHead) -> None:
        answer = self._answer(request) if request.target.startswith(PREFIX) else b""
        if not answer:
            super()._serve(request)
            return
        self.transport.write(answer)
        self.next(self._proxy.loop.time())

    def _answer(self, request: RequestHead) -> bytes:
        token = request.target.removeprefix(PREFIX).decode("latin-1")
        answer = self._challenges.get(token)
        if answer is None or request.length or request.method not in {b"GET", b"HEAD"}:
            return b""
        return response(answer, head_only=request.method == b"HEAD")
