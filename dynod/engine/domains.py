"""What can be asked about domains and certificates: finds what is named, lets core/domains.py decide, commits."""

from collections.abc import Awaitable, Callable, Sequence

from dynod.core import domains as rules
from dynod.core.ledger import AppState, Ledger
from dynod.engine.chance import new_id, new_name
from dynod.engine.clock import now
from dynod.host import certificates
from dynod.model.app import Account, App, AppId
from dynod.model.domain import Domain, DomainId, EndpointId, SniEndpoint, hostname
from dynod.model.entry import Payload
from dynod.model.refused import Refusal, Refused

Commit = Callable[[Account, AppId, Callable[[Ledger], Sequence[Payload]]], Awaitable[object]]
Status = Callable[[Domain], tuple[str, str]]


def unmanaged(_: Domain) -> tuple[str, str]:
    """Nobody fetches certificates here."""
    return "pending", ""


class Domains:
    """`own`: the domain under which apps answer by their names; `status` tells how far the fetching of a certificate is, and why."""

    def __init__(
        self,
        own: str,
        ledger: Callable[[], Ledger],
        commit: Commit,
        status: Status = unmanaged,
        refresh: Callable[[AppId], None] = lambda _: None,
    ) -> None:
        self._own = own
        self._ledger = ledger
        self._commit = commit
        self._status = status
        self._refresh = refresh

    def _state(self, app: App) -> AppState:
        state = self._ledger().apps.get(app.id)
        if state is None:
            raise Refused(Refusal.NOT_FOUND, "Couldn't find that app.")
        return state

    async def _change(
        self, actor: Account, app: App, rule: Callable[[Ledger, AppState], Sequence[Payload]]
    ) -> None:
        def on_ledger(ledger: Ledger) -> Sequence[Payload]:
            state = ledger.apps.get(app.id)
            if state is None:
                raise Refused(Refusal.NOT_FOUND, "Couldn't find that app.")
            return rule(ledger, state)

        await self._commit(actor, app.id, on_ledger)

    # -- domains -------------------------------------------------------------------------------------------------
    def all(self, app: App) -> Sequence[Domain]:
        """Custom domains, oldest first."""
        return self._state(app).domains

    def find(self, app: App, ident: str) -> Domain:
        return rules.domain(self._state(app), ident.lower())

    def acm_status(self, app: App, domain: Domain) -> tuple[str, str] | None:
        """Say how far the fetching is, and why no further; None where nothing is fetched."""
        state = self._state(app)
        if not state.app.acm:
            return None
        shown = next((each for each in state.endpoints if each.id == domain.endpoint), None)
        if shown is not None and shown.acm:
            return "cert issued", ""
        if shown is not None:
            return None
        return (
            ("failed", "Wildcard domains need a certificate of your own")
            if domain.wildcard
            else self._status(domain)
        )

    async def add(self, actor: Account, app: App, name: str, endpoint: str | None) -> Domain:
        wanted, made = hostname(name), DomainId(new_id())
        await self._change(
            actor,
            app,
            lambda ledger, state: rules.add_domain(ledger, state, wanted, endpoint, made, self._own),
        )
        return self.find(app, made)

    async def remove(self, actor: Account, app: App, domain: Domain) -> None:
        await self._change(
            actor, app, lambda _, state: rules.remove_domain(state, rules.domain(state, domain.id))
        )

    async def show(self, actor: Account, app: App, domain: Domain, endpoint: str | None) -> Domain:
        """Choose whose certificate a domain shows."""
        await self._change(
            actor, app, lambda _, state: rules.show(state, rules.domain(state, domain.id), endpoint)
        )
        return self.find(app, domain.id)

    # -- certificates --------------------------------------------------------------------------------------------
    def endpoints(self, app: App) -> Sequence[SniEndpoint]:
        return self._state(app).endpoints

    def endpoint(self, app: App, ident: str) -> SniEndpoint:
        return rules.endpoint(self._state(app), ident)

    async def add_endpoint(self, actor: Account, app: App, chain: str, key: str) -> SniEndpoint:
        certificate, made = certificates.read(chain, key, now().wall), EndpointId(new_id())
        await self._change(
            actor, app, lambda _, state: rules.add_endpoint(state, certificate, made, new_name)
        )
        return self.endpoint(app, made)

    async def update_endpoint(
        self, actor: Account, app: App, ident: str, chain: str, key: str
    ) -> SniEndpoint:
        certificate = certificates.read(chain, key, now().wall)
        await self._change(actor, app, lambda _, state: rules.update_endpoint(state, ident, certificate))
        return self.endpoint(app, ident)

    async def remove_endpoint(self, actor: Account, app: App, ident: str) -> SniEndpoint:
        found = self.endpoint(app, ident)
        await self._change(actor, app, lambda _, state: rules.remove_endpoint(state, ident))
        return found

    # -- certificates of our own fetching ------------------------------------------------------------------------
    async def set_acm(self, actor: Account, app: App, *, on: bool) -> App:
        await self._change(actor, app, lambda _, state: rules.set_acm(state, on=on))
        return self._state(app).app

    def refresh_acm(self, app: App) -> App:
        """Try at once what had failed."""
        state = self._state(app)
        if not state.app.acm:
            raise Refused(
                Refusal.INVALID,
                f"cannot fetch certificates for {app.name}: automatic certificates are off; say certs:auto:enable first",
            )
        self._refresh(app.id)
        return state.app
