"""Certificates for the router as bytes: what goes over RUN/routes.sock and lies in STATE/router/certs (0600)."""

import msgpack

from dynod.model.certs import CertTable, Served
from dynod.wire.table import BadTable


def encode(table: CertTable) -> bytes:
    """Write a table; `decode` reads it back equal."""
    served = [[each.chain, each.key] for each in table.served]
    return bytes(msgpack.packb([1, table.generation, served, dict(table.hosts), dict(table.challenges)]))


def decode(data: bytes) -> CertTable:
    """Read a table; raise BadTable."""
    try:
        version, generation, served, hosts, challenges = msgpack.unpackb(data)
        if version != 1:
            raise BadTable(f"a table of certificates of version {version}, this program reads 1")
        if not isinstance(generation, int) or not isinstance(hosts, dict) or not isinstance(challenges, dict):
            raise BadTable("not a table of certificates: no generation, no hosts or no challenges")
        shown = tuple(Served(chain, key) for chain, key in served)
        if any(not 0 <= index < len(shown) for index in hosts.values()):
            raise BadTable("not a table of certificates: a host shows one that is not there")
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise BadTable(f"not a table of certificates: {error}") from error
    return CertTable(generation, shown, hosts, challenges)
