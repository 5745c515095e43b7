"""The compiled part (heads.c), which is optional: what it does quicker, and Python in its place where it is not there.

What it does not take for plain it answers with None: the same is done in Python then. Rejected: a reader in C that refuses by itself, whose
every word would have to be Python's; compiling the Python (mypyc), since most of the time goes into what neither side can name in types.
"""

from collections.abc import Callable

from router import headers
from router.headers import RequestHead, ResponseHead

VERSION = 2  # heads.c has the same, or is not used

try:
    import router_heads as _found
except ImportError:
    _found = None
there: bool = _found is not None and _found.VERSION == VERSION


def _nothing(*_: object) -> None:
    return None


quick_request: Callable[[bytes], RequestHead | None] = _nothing
quick_response: Callable[[bytes], ResponseHead | None] = _nothing
# answer, whether the client's connection stays, one more header line -> what the client gets, status, whether the dyno's stays
whole_answer: Callable[[bytes, bool, bytes], tuple[bytes, int, bool] | None] = _nothing
dyno_head: Callable[[RequestHead, bytes, bytes, bytes, bool], bytes] = headers.dyno_head
# head, host, request id, peer, dyno, connect and service in ms, status, size, protocol
access_line: Callable[
    [RequestHead, str, bytes, bytes, str, int | None, int | None, int, int, str], str | None
] = _nothing

if there:
    _found.learn(RequestHead, ResponseHead)
    quick_request, quick_response = _found.read_request, _found.read_response
    whole_answer, dyno_head, access_line = _found.whole_answer, _found.dyno_head, _found.access_line
