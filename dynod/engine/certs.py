"""What the routers show to TLS clients: custom domains' certificates from the ledger, and for apps' own names one of the machine's authority.

A wildcard of one label under a domain without a dot (`*.localhost`) is taken by no TLS client, so that there each app has a certificate
with its exact name. They are made in memory, anew with each start of the control plane: the authority is what people trust.
"""

import datetime as dt
from collections.abc import Callable, Iterator, Mapping

from cryptography import x509

from dynod.core.ledger import AppState, Ledger
from dynod.engine import clock
from dynod.host.authority import Authority, authority, issue, pem
from dynod.host.certificates import key_text, moment, new_key
from dynod.model.certs import CertTable, Served
from dynod.model.domain import own_hostname

RENEW = dt.timedelta(days=60)  # before the end


class Certs:
    """`publish` takes each new table. `look` is called when anything may have changed."""

    def __init__(
        self, state: str, domain: str, ledger: Callable[[], Ledger], publish: Callable[[CertTable], None]
    ) -> None:
        self._state = state
        self._domain = domain
        self._ledger = ledger
        self._publish = publish
        self._challenges: dict[str, str] = {}
        self._own: dict[str, tuple[Served, dt.datetime]] = {}  # by name: ours, and when to make another
        self._key = new_key()
        self._authority: Authority | None = None
        self._table = CertTable()

    def look(self) -> None:
        """Publish what is true now, if that is news."""
        served: dict[Served, int] = {self._fallback(): 0}
        hosts: dict[str, int] = {}
        for name, each in self._all():
            hosts[name] = served.setdefault(each, len(served))
        self._own = {name: own for name, own in self._own.items() if name in hosts or name == self._domain}
        table = CertTable(self._table.generation, tuple(served), hosts, dict(self._challenges))
        if table != self._table:
            generation = max(self._table.generation + 1, int(clock.now().wall * 1000))
            self._table = CertTable(generation, table.served, table.hosts, table.challenges)
            self._publish(self._table)

    def _all(self) -> Iterator[tuple[str, Served]]:
        for state in self._ledger().apps.values():
            yield from _custom(state)
            if "." not in self._domain:
                name = own_hostname(state.app.name, self._domain)
                yield name, self._issued((name,))

    def _fallback(self) -> Served:
        return self._issued((self._domain, f"*.{self._domain}"))

    def _issued(self, names: tuple[str, ...]) -> Served:
        found = self._own.get(names[0])
        now = moment(clock.now().wall)
        if found is None or found[1] <= now:
            if self._authority is None:
                self._authority = authority(self._state, now)
            made = issue(self._authority, self._key, [x509.DNSName(name) for name in names], names[0], now)
            text = pem(made).decode()
            found = self._own[names[0]] = Served(text, key_text(self._key)), made.not_valid_after_utc - RENEW
        return found[0]

    def challenge(self, token: str, answer: str) -> None:
        """Have the routers answer an authority's challenge."""
        self._challenges[token] = answer
        self.look()

    def answered(self, token: str) -> None:
        """Answer a challenge no more."""
        if self._challenges.pop(token, None) is not None:
            self.look()


def _custom(state: AppState) -> Iterator[tuple[str, Served]]:
    endpoints: Mapping[str, Served] = {
        each.id: Served(each.certificate.chain, each.certificate.key) for each in state.endpoints
    }
    for domain in state.domains:
        if domain.endpoint is not None:
            yield domain.hostname, endpoints[domain.endpoint]
