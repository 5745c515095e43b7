"""Fresh request ids in UUID's shape, made many at a time: one read of the kernel's random bytes serves 512 requests."""

import os
from binascii import hexlify
from collections.abc import Iterator
from struct import iter_unpack

_MANY = 512


def request_ids() -> Iterator[bytes]:
    """Yield ids without end."""
    while True:
        yield from map(b"-".join, iter_unpack("8s4s4s4s12s", hexlify(os.urandom(16 * _MANY))))
