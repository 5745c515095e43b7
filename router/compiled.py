"""The compiled part (heads.c), which is optional: what it does quicker, and Python in its place where it is not there.

What it does not take for plain it answers with None: the same is done in Python then. Rejected: a reader in C that refuses by itself, whose
every word would have to be Python's; compiling the Python (mypyc), since most of the time goes into what neither side can name in types.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from router.headers import RequestHead, ResponseHead

if TYPE_CHECKING:
    from router.table import Site

VERSION = 5  # heads.c has the same, or is not used

try:
    import router_heads as _found
except ImportError:
    _found = None
there: bool = _found is not None and _found.VERSION == VERSION

# what is needed of a request from now on: its site, id and Host, what the dyno gets (empty: to be made), words for the access line (None: to
# be found), whether the client's connection may stay, how much of a body the dyno gets with the head, and how much is to come
Forwarded = tuple["Site", bytes, bytes | None, bytes, str | None, bool, int, int]


def _nothing(*_: object) -> None:
    return None


# what came, sites by Host, origin, request ids, time in ms; for plain requests whose body is said to be long or not to be
forward: Callable[[bytes, "dict[bytes, Site]", bytes, Iterator[bytes], bytes], Forwarded | None] = _nothing
# an answer or its beginning, whether the client's connection stays, one more header line -> what the client gets, status, whether the dyno's
# stays, how much of the body is to come
answer: Callable[[bytes, bool, bytes], tuple[bytes, int, bool, int] | None] = _nothing
_request = _response = _nothing

if there:
    forward, answer = _found.forward, _found.answer
    _request, _response = _found.read_request, _found.read_response


def quick_request(data: bytes) -> RequestHead | None:
    """Read a plain head."""
    fields = _request(data)
    if fields is None:
        return None
    head = RequestHead()
    (
        head.method,
        head.target,
        head.lines,
        head.host,
        head.length,
        head.keep_alive,
        head.via,
        head.forwarded_for,
        head.request_id,
    ) = fields
    return head


def quick_response(data: bytes) -> ResponseHead | None:
    """Read the plain head that these bytes begin with."""
    fields = _response(data)
    if fields is None:
        return None
    head = ResponseHead()
    (
        head.status,
        head.start,
        head.size,
        head.lines,
        head.length,
        head.keep_alive,
        head.via,
        head.has_server,
    ) = fields
    return head
