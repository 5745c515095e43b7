"""Fresh request ids in UUID's shape, made many at a time: one read of the kernel's random bytes serves 128 requests."""

import os
from binascii import hexlify
from collections.abc import Iterator
from struct import Struct

_MANY = 128
_SIZE = 36
_ALL = Struct(f"{_SIZE}s" * _MANY)


def request_ids() -> Iterator[bytes]:
    """Yield ids without end."""
    while True:
        digits = bytearray(hexlify(os.urandom(_SIZE // 2 * _MANY)))
        for at in (8, 13, 18, 23):
            digits[at::_SIZE] = b"-" * _MANY
        yield from _ALL.unpack(digits)
