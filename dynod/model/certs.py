"""What the router shows to TLS clients, and what it answers to an authority that asks: one value with a generation, made whole at each change."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, repr=False)
class Served:
    """PEM texts: the chain with the own certificate first, and its key. No repr: keys do not belong into logs."""

    chain: str
    key: str


@dataclass(frozen=True, slots=True)
class CertTable:
    """`hosts`: lower-case host name -> index into `served`, `*.example.com` for a wildcard, one label deep. The first is shown to
    everybody else. `challenges`: token of an HTTP-01 challenge (RFC 8555 8.3) -> key authorization.
    """

    generation: int = 0
    served: tuple[Served, ...] = ()
    hosts: Mapping[str, int] = field(default_factory=dict)
    challenges: Mapping[str, str] = field(default_factory=dict)
