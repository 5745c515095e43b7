"""A TLS connection just after its handshake: ALPN says who goes on with it.

HTTP/2 is imported with the first client that speaks it: 3 MiB that a router without such clients never needs, and 15 ms of CPU for that one.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from router.tls import SecureClient

if TYPE_CHECKING:
    from router.proxy import Proxy


class Negotiated(asyncio.Protocol):
    """Hands the connection on as soon as it is made."""

    def __init__(self, proxy: "Proxy", port: int) -> None:
        self._proxy = proxy
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        made = _h2(self._proxy, self._port) if chosen == "h2" else SecureClient(self._proxy, self._port)
        cast("asyncio.Transport", transport).set_protocol(made)
        made.connection_made(transport)


def _h2(proxy: "Proxy", port: int) -> asyncio.Protocol:
    from router.h2 import H2  # noqa: PLC0415  # see above

    return H2(proxy, port)
