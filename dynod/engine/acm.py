"""Automatic certificates: one timer for all, one task per domain that is due. What is due when, core/acme.py says.

Failures are kept in memory alone: after a restart of the control plane each domain without a certificate is tried again.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from dynod.core import acme as rules
from dynod.core import domains
from dynod.core.acme import Attempt, Wanted
from dynod.core.ledger import Ledger
from dynod.engine.books import Books
from dynod.engine.certs import Certs
from dynod.engine.chance import new_id, new_name
from dynod.engine.clock import now
from dynod.engine.tasks import Tasks
from dynod.host import certificates
from dynod.host.acme import Acme, AcmeFailed, Proof
from dynod.host.authority import key_bytes, load_key
from dynod.host.durable import write_durably
from dynod.model.app import Account, AppId
from dynod.model.domain import Certificate, Domain, DomainId, EndpointId
from dynod.model.entry import Payload
from dynod.model.refused import Refused
from dynod.model.settings import Settings

DAY = 86_400.0
AT_ONCE = 4  # certificates fetched side by side


class Acm:
    """`look` whenever domains may have changed; `told` waits until the routers answer a challenge, `say` writes to an app's log."""

    def __init__(
        self,
        settings: Settings,
        books: Books,
        certs: Certs,
        told: Callable[[], Awaitable[None]],
        actor: Callable[[], Account],
        say: Callable[[AppId, str, str], None],
    ) -> None:
        self._settings = settings
        self._books = books
        self._certs = certs
        self._told = told
        self._actor = actor
        self._say = say
        self._attempts: dict[DomainId, Attempt] = {}
        self._tasks = Tasks()
        self._room = asyncio.Semaphore(AT_ONCE)
        self._timer: asyncio.TimerHandle | None = None
        self._acme: Acme | None = None
        self._looking = self._closed = False

    def status(self, domain: Domain) -> tuple[str, str]:
        return rules.status(self._attempts.get(domain.id))

    def refresh(self, app: AppId) -> None:
        """Forget an app's failures."""
        for domain in self._books.ledger.apps[app].domains:
            if not self._attempts.get(domain.id, Attempt()).busy:
                self._attempts.pop(domain.id, None)
        self.look()

    def look(self) -> None:
        """Look soon, once: one change of the ledger may be several entries, and only the last of them tells the truth."""
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_soon(self._look)

    def _look(self) -> None:
        """Start what is due; sleep until the next, a day at most: our own certificates grow old too."""
        self._looking = False
        if self._timer is not None:
            self._timer.cancel()
        if self._closed:
            return
        at = now().wall
        soonest = at + DAY
        for each in rules.wanted(self._books.ledger.apps.values(), self._attempts):
            if each.due <= at:
                self._attempts[each.domain.id] = Attempt(
                    self._attempts.get(each.domain.id, Attempt()).failures, busy=True
                )
                self._tasks.spawn(self._fetch(each))
            else:
                soonest = min(soonest, each.due)
        self._timer = asyncio.get_running_loop().call_later(soonest - at, self._later)

    def _later(self) -> None:
        self._certs.look()
        self.look()

    async def _fetch(self, wanted: Wanted) -> None:
        domain = wanted.domain
        before = self._attempts[domain.id]
        tokens: list[str] = []

        async def proof(token: str, answer: str) -> None:
            tokens.append(token)
            self._certs.challenge(token, answer)
            await self._told()

        try:
            async with self._room:
                certificate = await self._certificate(domain, proof)
            await self._books.commit(self._actor(), wanted.app, partial(_kept, wanted, certificate))
        except (AcmeFailed, Refused, OSError) as failed:  # of the disk too
            self._failed(wanted, before, str(failed))
        else:
            self._attempts.pop(domain.id, None)
            if (waits := rules.after_success(certificate, now().wall)) is not None:
                self._attempts[domain.id] = waits
        finally:
            for token in tokens:
                self._certs.answered(token)
            # A bug is no reason to leave the domain waiting for ever.
            if self._attempts.get(domain.id) is before and not self._closed:
                self._failed(wanted, before, "a fault of dynod itself, of which its journal tells")
        self.look()

    def _failed(self, wanted: Wanted, before: Attempt, why: str) -> None:
        self._attempts[wanted.domain.id] = rules.after_failure(before, why, now().wall)
        self._say(wanted.app, "acm", f"Cannot fetch a certificate for {wanted.domain.hostname}: {why}")

    async def _certificate(self, domain: Domain, proof: Proof) -> Certificate:
        key = certificates.new_key()
        chain = await self._client().certificate(domain.hostname, key, proof)
        return certificates.read(chain, certificates.key_text(key), now().wall)

    def _client(self) -> Acme:
        if self._acme is None:
            path = f"{self._settings.state}/secrets/acme.key"
            key = load_key(path)
            if key is None:
                os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
                key = certificates.new_key()
                write_durably(path, key_bytes(key), 0o600)
            settings = self._settings
            self._acme = Acme(settings.acme_directory, key, settings.acme_email, settings.acme_trusted)
        return self._acme

    async def close(self) -> None:
        """Stop fetching."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        await self._tasks.close()


def _kept(wanted: Wanted, certificate: Certificate, ledger: Ledger) -> Sequence[Payload]:
    state = ledger.apps.get(wanted.app)
    if state is None:
        return ()
    made = EndpointId(new_id())
    return domains.fetched(state, wanted.domain, certificate, made, new_name)
