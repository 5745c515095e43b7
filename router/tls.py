"""TLS to clients: which certificate is shown for which name, and what is different for a request that came this way.

A new table of certificates is a new `_Shown`, swapped in by one assignment: handshakes see the old one or the new one, connections that
are open keep what they have. Contexts are made when a name is first asked for, so that a swap costs nothing per certificate.
A handshake begins with the context of the first certificate, which most are for, and changes over to another where its name says so.
Tickets are those of the context that it began with, which is keyed as all others are (tickets.py): a session goes on at every worker.
Where keys cannot be told to OpenSSL, it begins with an empty one that the master made before it forked, and whose keys all workers have.
The plain path knows nothing of all this.
"""

import asyncio
import logging
import os
import re
import ssl
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, cast

from dynod.model.certs import CertTable, Served
from router.exchange import Exchange
from router.headers import origin_lines
from router.reasons import Failure
from router.secure import Secured
from router.server import Client
from router.table import without_port

if TYPE_CHECKING:
    from router.proxy import Proxy

PROTOCOLS = ["h2", "http/1.1"]  # by ALPN, the best first
_AGENT = re.compile(rb"\r\nuser-agent:[ \t]*([^\r]*)", re.IGNORECASE)

_log = logging.getLogger(__name__)


def new_context() -> ssl.SSLContext:
    """Make a context without a certificate: TLS 1.2 and 1.3."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(PROTOCOLS)
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 1  # the second of OpenSSL's two costs a tenth of a handshake
    return context


def _loaded(served: Served) -> ssl.SSLContext:
    """Make a context that shows a certificate. OpenSSL takes files only: one in memory, which nobody else can open."""
    context = new_context()
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, (served.chain + served.key).encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return context


class _Shown:
    """One table, with the contexts made for it so far."""

    def __init__(self, table: CertTable, before: "_Shown | None") -> None:
        self.table = table
        known: Mapping[Served, ssl.SSLContext] = before.made if before is not None else {}
        self.made: dict[Served, ssl.SSLContext] = {
            served: known[served] for served in table.served if served in known
        }

    def index(self, name: str) -> int | None:
        """Find the certificate for a name: exact, or its wildcard one label up."""
        key = name.lower().removesuffix(".")
        found = self.table.hosts.get(key)
        return self.table.hosts.get(f"*.{key.partition('.')[2]}") if found is None else found

    def context(self, name: str | None, index: int | None) -> ssl.SSLContext | None:
        """Give what to show: the one at `index`, else the first; None if there is nothing at all."""
        table = self.table
        if not table.served:
            return None
        served = table.served[index or 0]
        context = self.made.get(served)
        if context is None:
            try:
                context = self.made[served] = _loaded(served)
            except (OSError, ssl.SSLError) as error:
                _log.warning("cannot show the certificate for %s: %s", name, error)
        return context


class Certificates:
    """`first` is the context to begin a handshake with, None until `begin` has made it; `swap` takes a new table.

    `base` is the one that all workers share; `keyed` keys another for the same tickets, and says whether it could.
    """

    def __init__(self, base: ssl.SSLContext, keyed: Callable[[ssl.SSLContext], bool] | None = None) -> None:
        self.first: ssl.SSLContext | None = None
        self.challenges: Mapping[str, str] = {}
        self._base = base
        self._keyed = keyed
        self._shown = _Shown(CertTable(), None)
        base.sni_callback = self._choose

    def swap(self, table: CertTable) -> None:
        """Show these from now on."""
        self._shown = _Shown(table, self._shown)
        self.challenges = table.challenges
        self.first = None

    def begin(self) -> ssl.SSLContext:
        """Settle what handshakes begin with, from now to the next swap."""
        context = self._shown.context(None, None)
        if context is None or self._keyed is None or not self._keyed(context):
            context = self._base
        context.sni_callback = self._choose
        self.first = context
        return context

    def _choose(self, connection: ssl.SSLObject, name: str | None, base: ssl.SSLContext) -> int | None:
        """Answer OpenSSL in the middle of a handshake; the name is kept for the requests to come."""
        index = None if name is None else self._shown.index(name)
        context = self._shown.context(name, index)
        if context is None:
            return ssl.AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR
        if context is not base:
            connection.context = context
        connection.asked = name  # type: ignore[attr-defined]  # an object of Python's, with room for more
        connection.strange = name is not None and index is None  # type: ignore[attr-defined]
        return None


class SecureExchange(Exchange):
    """A request that came over TLS."""

    def row(self) -> list[str | int]:
        row = super().row()
        if self.failure is Failure.H31:
            row[4] = cast("str", row[4]).replace(_H31, f'{_H31} agent="{self._agent()}"', 1)
        return row

    def _agent(self) -> str:
        found = _AGENT.search(self.request.lines)
        agent = "" if found is None else found[1].decode("latin-1")
        return "".join(char for char in agent if char.isprintable() and char != '"')


@cache
def _exchanges(protocol: str, tls: str | None) -> type[SecureExchange]:
    """Make the kind of exchange for connections of one kind: there are a handful, and none costs its requests anything."""
    shown = (tls or "unknown").lower().replace("tlsv", "tls")  # `tls1.3`, as the access line names it
    return type(
        "SecureExchange", (SecureExchange,), {"protocol": f"protocol={protocol} tls=true tls_version={shown}"}
    )


_H31 = f'desc="{Failure.H31.value.desc}"'


class SecureClient(Client):
    """The client's side over TLS. `port` is the listener's, told to dynos; `protocol` is what the access line says."""

    __slots__ = ("_asked", "_port", "_right", "_strange")
    protocol = "http1.1"
    counted = False  # since before its handshake
    bare = False

    def __init__(self, proxy: "Proxy", port: int) -> None:
        super().__init__(proxy)
        self._port = port
        self._asked: str | None = None
        self._right = b""  # a Host that was found to be the name of the handshake
        self._strange = False  # it was shown somebody else's certificate
        self._start = self._forward = self._start_secure

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = transport.get_extra_info("ssl_object")
        asked = getattr(connection, "asked", None)
        self._asked = None if asked is None else asked.lower().removesuffix(".")
        self._strange = getattr(connection, "strange", False)
        self._exchange = _exchanges(self.protocol, connection.version())
        super().connection_made(transport)

    def made_origin(self) -> bytes:
        return origin_lines(self.peer, b"https", self._port)

    def connection_lost(self, exc: Exception | None) -> None:
        self._start = self._forward = self._proxy.start  # no cycle is left
        super().connection_lost(exc)

    def eof_received(self) -> bool:
        """Hear that the client sends no more: a request that came whole is its last, and is answered."""
        exchange = self.exchange
        if exchange is None or not exchange.request_done or exchange.tunnel is not None:
            return False
        exchange.be_last()
        return True

    def write_last(self, data: bytes) -> None:
        cast("Secured", self.transport).write_last(data)  # in one piece with the goodbye

    def _start_secure(self, client: Client, exchange: Exchange, now: float) -> None:
        """Let in only what the handshake was for, with a certificate that is for it."""
        host = exchange.host
        if host != self._right and not self._agrees(host or b""):
            self._proxy.fail(client, exchange, Failure.H31)
        elif self._strange:
            self._proxy.fail(client, exchange, Failure.H32)
        else:
            self._proxy.start(client, exchange, now)

    def _agrees(self, host: bytes) -> bool:
        """Whether the request is for whom the handshake was (RFC 9110 7.4): a client without SNI may ask for anybody."""
        name = without_port(host).lower().removesuffix(b".").decode("latin-1")
        if self._asked is not None and name != self._asked:
            return False
        self._right = host
        return True
