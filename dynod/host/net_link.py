"""The control plane's line to the network helper (RUN/net.sock): ask for a dyno's network, give it back, list them.

The line is drawn again by itself at the next request when the helper was restarted in between; what is wired stays wired meanwhile.
Asking twice for the same dyno gives the same network, so a request whose answer was lost is simply repeated.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynod.link import Lost, Peer, connect
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Endpoint, net_socket
from dynod.model.spoken import NET

CAP = 20.0  # seconds; a namespace takes some milliseconds, so beyond this the helper is not well


@dataclass(frozen=True, slots=True)
class Wired:
    """A dyno's network: the namespace to enter, and where it is reached."""

    netns: str
    address: str
    gateway: str
    address6: str = ""  # if dynos have IPv6


def _wired(row: Any) -> Wired:
    return Wired(row["netns"], row["address"], row["gateway"], row.get("address6", ""))


class NetLink:
    """One connection, kept; `close` hangs up."""

    def __init__(self, run: str) -> None:
        self._path = net_socket(run)
        self._peer: Peer | None = None
        self._connecting = asyncio.Lock()

    async def take(self, dyno_id: str) -> Wired:
        """Get the dyno's network, ready to be entered; raise Refused(UNAVAILABLE)."""
        return _wired(await self._ask("take", {"id": dyno_id}))

    async def give(self, dyno_id: str) -> None:
        """Destroy the dyno's network; one that has none is no fault."""
        await self._ask("give", {"id": dyno_id})

    async def list(self) -> dict[str, Wired]:
        """Get every dyno that has a network."""
        return {row["id"]: _wired(row) for row in await self._ask("list", None)}

    async def routers(self, at: Sequence[Endpoint]) -> None:
        """Let dynos reach the router at these addresses, and nothing else of this machine; known beyond the helper's restart."""
        await self._ask("routers", [[each.host, each.port] for each in at])

    async def stat(self) -> dict[str, Any]:
        """Get counts, the instance's network, and `obstacles`: sentences about what is in the way."""
        return dict(await self._ask("stat", None))

    async def close(self) -> None:
        if self._peer is not None:
            await self._peer.close()

    async def _ask(self, method: str, params: Any) -> Any:
        try:
            async with asyncio.timeout(CAP):
                try:
                    return await (await self._connection()).call(method, params)
                except Lost:
                    # Every request may be repeated.
                    return await (await self._connection()).call(method, params)
        except (OSError, TimeoutError) as error:
            raise Refused(
                Refusal.UNAVAILABLE,
                f"cannot ask the network helper to {method}: {error or 'no answer'}; is dynod net running?",
            ) from error

    async def _connection(self) -> Peer:
        async with self._connecting:
            if self._peer is None or self._peer.lost.is_set():
                self._peer = await connect(self._path, language=NET)
            return self._peer
