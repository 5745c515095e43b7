"""MessagePack-RPC over unix sockets for asyncio: the floor between wire/ (bytes) and the programs that talk.

Owns the sockets, call ids, back-pressure and what happens when the other side goes away. Leaves out what is said: methods and
their values belong to each program. `serve` answers, `connect` asks.
"""

from dynod.link.client import Lost, Peer, RemoteRefused, connect
from dynod.link.server import Call, Handler, serve

__all__ = ["Call", "Handler", "Lost", "Peer", "RemoteRefused", "connect", "serve"]
