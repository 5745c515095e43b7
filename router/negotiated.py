"""Who is above a TLS connection after its handshake: ALPN says.

HTTP/2 is imported with the first client that speaks it: 3 MiB that a router without such clients never needs, and 15 ms of CPU for that one.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING

from router.tls import SecureClient

if TYPE_CHECKING:
    from router.proxy import Proxy


def negotiated(proxy: "Proxy", port: int) -> Callable[[ssl.SSLObject], asyncio.Protocol]:
    """Make what takes a connection's handshake and gives its protocol; `port` is the listener's."""

    def made(connection: ssl.SSLObject) -> asyncio.Protocol:
        if connection.selected_alpn_protocol() == "h2":
            return _h2(proxy, port)
        return SecureClient(proxy, port)

    return made


def _h2(proxy: "Proxy", port: int) -> asyncio.Protocol:
    from router.h2 import H2  # noqa: PLC0415  # see above

    return H2(proxy, port)
