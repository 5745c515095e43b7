"""Two steps of a TLS connection without Python's exceptions, which cost more than the steps: compiled (hands.c) where it is and fits, else here.

`_ssl` says "more is needed" by an exception with a text, at each handshake once and at each goodbye once.
"""

import contextlib
import ssl
import sys
from collections.abc import Callable

VERSION = 1  # hands.c has the same, or is not used
KNOWN = ((3, 11), (3, 13))  # the versions of Python whose _ssl hands.c was written for
FAILED, WAITS, DONE = -1, 0, 1

try:
    import router_hands as _found
except ImportError:
    _found = None


def _fits() -> bool:
    """Whether Python's objects are laid out as hands.c takes them to be: asked of one."""
    if sys.implementation.name != "cpython" or not KNOWN[0] <= sys.version_info[:2] <= KNOWN[1]:
        return False
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    connection = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True)
    return bool(_found.fits(connection, context))


there: bool = _found is not None and _found.VERSION == VERSION and _fits()


def slow_shake(connection: ssl.SSLObject) -> int:
    """Go on with a handshake: DONE, WAITS for the client, or FAILED."""
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return WAITS
    except (ssl.SSLError, ValueError):
        return FAILED
    return DONE


def slow_goodbye(connection: ssl.SSLObject) -> None:
    """Say close_notify, and wait for none (RFC 8446 6.1)."""
    with contextlib.suppress(ssl.SSLError):
        connection.unwrap()


shake: Callable[[ssl.SSLObject], int] = _found.shake if there else slow_shake
goodbye: Callable[[ssl.SSLObject], None] = _found.goodbye if there else slow_goodbye
_claimed: list[bool] = []


def claim() -> bool:
    """Whether `sealer` and `lay` are there, for one owner: OpenSSL says to nobody whose keys it asks for."""
    if not there or _claimed:
        return False
    _claimed.append(True)
    return True


def sealer(slow: int) -> int:
    """Give a callback that seals with what was laid, in place of this one, which it asks for all else; both are addresses."""
    return int(_found.sealer(slow))


def lay(name: bytes, parameters: int, cipher: int, key: int, until: int) -> None:
    """Seal with this key until then; what the addresses lead to is kept by who lays it."""
    _found.lay(name, parameters, cipher, key, until)
