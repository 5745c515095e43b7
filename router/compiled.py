"""The compiled part (heads.c), which is optional: what it does quicker, and Python in its place where it is not there.

The two readers return None for whatever is not plain: heads.py reads that in Python. Rejected: a reader in C that refuses by itself, whose
every word would have to be Python's; compiling the Python (mypyc), since most of the time goes into what neither side can name in types.
"""

from collections.abc import Callable

from router import headers
from router.headers import RequestHead, ResponseHead

VERSION = 1  # heads.c has the same, or is not used

try:
    import router_heads as _found
except ImportError:
    _found = None
there: bool = _found is not None and _found.VERSION == VERSION


def _nothing(data: bytes) -> None:  # noqa: ARG001  # a reader's shape
    return None


quick_request: Callable[[bytes], RequestHead | None] = _nothing
quick_response: Callable[[bytes], ResponseHead | None] = _nothing
dyno_head: Callable[[RequestHead, bytes, bytes, bytes, bool], bytes] = headers.dyno_head
client_head: Callable[[ResponseHead, bool, bool, bytes, bytes], bytes] = headers.client_head

if there:
    _found.learn(RequestHead, ResponseHead)
    quick_request, quick_response = _found.read_request, _found.read_response
    dyno_head, client_head = _found.dyno_head, _found.client_head
