"""Session affinity (feature `http-session-affinity`, HEROKU.md 4.6): a cookie that names a dyno, set by the router and read by nobody else.

The cookie's value is a hash of the dyno's random id: it says nothing of what is behind the router, nobody makes one up, every worker
knows it without asking, and it means the same after a restart. Rejected: an encrypted name, which needs a key that all routers share.
A dyno that is full or in quarantine is passed over and stays meant; only when it is gone another one takes its place.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256

from router.balance import Target, checkout
from router.pages import http_date

FEATURE = "http-session-affinity"
NAME = b"heroku-session-affinity"
AGE = 86_400

_COOKIES = re.compile(rb"\r\ncookie:([^\r]*)", re.IGNORECASE)


def token(app: str, dyno: str) -> bytes:
    """Give the cookie's value for one dyno of an app."""
    return urlsafe_b64encode(sha256(f"{FEATURE}\0{app}\0{dyno}".encode()).digest()).rstrip(b"=")


def tokens(app: str, targets: Iterable[Target]) -> dict[bytes, Target]:
    """Give each dyno's value."""
    return {token(app, target.backend.id): target for target in targets}


def wanted(lines: bytes, known: Mapping[bytes, Target]) -> Target | None:
    """Find the dyno that a request's header lines ask for; none if they name two, or none there is."""
    values = [
        value
        for line in _COOKIES.findall(lines)
        for name, _, value in [pair.strip(b" \t").partition(b"=") for pair in line.split(b";")]
        if name == NAME
    ]
    return known.get(values[0]) if len(values) == 1 else None


def checkout_sticky(
    lines: bytes, sticky: Mapping[bytes, Target], now: float, chance: Callable[[], float]
) -> tuple[Target | None, bool]:
    """Take the dyno that is asked for, or another; True if the browser stays with the one it has."""
    everyone = tuple(sticky.values())
    meant = wanted(lines, sticky)
    if meant is None:
        return checkout(everyone, now, chance), False
    return checkout((meant,), now, chance) or checkout(everyone, now, chance), True


def cookie(app: str, target: Target, host: str, now: float) -> bytes:
    """Make the header line that binds a browser to a dyno for a day. `now` in seconds since the epoch."""
    expires = http_date(now + AGE).encode()
    domain = host.lower().removesuffix(".").encode()
    return b"Set-Cookie: %b=%b; Version=1; Expires=%b; Max-Age=%d; Domain=%b; Path=/; HttpOnly\r\n" % (
        NAME,
        token(app, target.backend.id),
        expires,
        AGE,
        domain,
    )
