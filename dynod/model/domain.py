"""The names an app answers to, its own and custom ones, and the certificates that speak for them (HEROKU.md 4.6)."""

import re
from dataclasses import dataclass
from typing import NewType

import idna

from dynod.model.refused import Refusal, Refused

Hostname = NewType("Hostname", str)  # lower case, ASCII, no dot at the end; `*.example.com` for a wildcard
DomainId = NewType("DomainId", str)  # a uuid
EndpointId = NewType("EndpointId", str)  # a uuid

MOST = 1_000  # per app, HEROKU.md 8

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_LONGEST = 253  # RFC 1035


def hostname(text: str) -> Hostname:
    """Check a name, exact or a wildcard of one label, and write it as DNS does; raise Refused(INVALID)."""
    what = f"cannot use {text[:300]!r} as a domain"
    name = text.strip().lower().removesuffix(".")
    star, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    if not rest.isascii():
        try:
            rest = idna.encode(rest, uts46=True).decode()
        except idna.IDNAError as error:
            raise Refused(Refusal.INVALID, f"{what}: {error}") from error
    labels = rest.split(".")
    if not all(map(_LABEL.fullmatch, labels)) or len(star + rest) > _LONGEST or labels[-1].isdigit():
        raise Refused(
            Refusal.INVALID, f"{what}: it must be a host name such as www.example.com, or *.example.com"
        )
    if len(labels) == 1:
        raise Refused(Refusal.INVALID, f"{what}: it needs a dot, as in www.example.com")
    return Hostname(star + rest)


def covers(pattern: str, name: str) -> bool:
    """Whether a name in a certificate speaks for a domain: the same, or its wildcard one label up."""
    if pattern == name:
        return True
    label, _, rest = name.partition(".")
    return pattern.startswith("*.") and pattern[2:] == rest and label != "*"


def own_hostname(app: str, domain: str) -> str:
    """The name that every app has from the platform."""
    return f"{app}.{domain}"


def web_url(app: str, domain: str, port: int) -> str:
    """Where an app answers; the port is the router's."""
    return f"http://{own_hostname(app, domain)}{'' if port == 80 else f':{port}'}/"


@dataclass(frozen=True, slots=True)
class Domain:
    """A custom domain. `endpoint`: whose certificate is shown for it; None: none yet."""

    id: DomainId
    hostname: Hostname
    created_at: float
    updated_at: float
    endpoint: EndpointId | None = None

    @property
    def wildcard(self) -> bool:
        return self.hostname.startswith("*.")


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM texts, own certificate first, and what was read from it. Whoever made this value has checked that they belong together."""

    chain: str
    key: str
    domains: tuple[str, ...]
    starts_at: float
    expires_at: float
    issuer: str
    subject: str
    self_signed: bool = False

    def covers(self, name: str) -> bool:
        return any(covers(pattern, name) for pattern in self.domains)


@dataclass(frozen=True, slots=True)
class SniEndpoint:
    """A certificate in use. `acm`: it was fetched by us and is renewed by us."""

    id: EndpointId
    name: str
    certificate: Certificate
    created_at: float
    updated_at: float
    acm: bool = False
