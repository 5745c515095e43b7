"""Heads that are refused: whose they were, if they say so beyond doubt, so that the app's log can tell of it (H26). Pure."""

import re

from router.headers import RequestHead

_START = re.compile(rb"([A-Za-z-]{1,127}) ([\x21-\x7e]{1,8192}) HTTP/1\.([01])\r\n")
_HOSTS = re.compile(rb"\r\nhost[^\r\n:]*:[ \t]*([^\r\n]*)", re.IGNORECASE)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_HOST = re.compile(rb"[A-Za-z0-9._-]{1,253}(:[0-9]{1,5})?")


def hint(data: bytes) -> RequestHead | None:
    """Read no more than the access line needs: method, target and Host; None unless all three are plain and there is one Host."""
    start = _START.match(data)
    hosts = _HOSTS.findall(data)
    if start is None or len(hosts) != 1 or _HOST.fullmatch(hosts[0]) is None or _BARE.search(data):
        return None
    head = RequestHead()
    head.method, head.target = start[1], start[2]
    head.minor = int(start[3])
    head.host = hosts[0]
    head.keep_alive = False
    return head
