"""What wishes about domains and certificates turn into: the part of core/changes.py that has to do with names."""

from collections.abc import Callable, Iterable

from dynod.core.ledger import AppState, Ledger
from dynod.model.domain import (
    MOST,
    Certificate,
    Domain,
    DomainId,
    EndpointId,
    Hostname,
    SniEndpoint,
    covers,
)
from dynod.model.entry import (
    AcmSet,
    DomainAdded,
    DomainEndpointSet,
    DomainRemoved,
    EndpointRemoved,
    EndpointSet,
    Payload,
)
from dynod.model.refused import Refusal, Refused


def domain(state: AppState, ident: str) -> Domain:
    """Find by hostname or id; raise Refused(NOT_FOUND)."""
    for each in state.domains:
        if ident in {each.hostname, each.id}:
            return each
    raise Refused(Refusal.NOT_FOUND, f"cannot find the domain {ident[:300]} on {state.app.name}")


def endpoint(state: AppState, ident: str) -> SniEndpoint:
    """Find by name or id; raise Refused(NOT_FOUND)."""
    for each in state.endpoints:
        if ident in {each.name, each.id}:
            return each
    raise Refused(Refusal.NOT_FOUND, f"cannot find the SNI endpoint {ident[:300]} on {state.app.name}")


# -- domains -----------------------------------------------------------------------------------------------------


def add_domain(
    ledger: Ledger, state: AppState, name: Hostname, shown: str | None, id_: DomainId, own: str
) -> tuple[Payload, ...]:
    """Give an app a name. `own`: under it lie the names that apps have by themselves; `shown`: an endpoint, or None for any that fits."""
    what = f"cannot add {name} to app {state.app.name}"
    if len(state.domains) >= MOST:
        raise Refused(Refusal.INVALID, f"{what}: it has {MOST} domains; remove one first")
    if name == own or name.endswith(f".{own}"):
        raise Refused(Refusal.INVALID, f"{what}: names under {own} are those of apps themselves")
    if (holder := ledger.hostnames.get(name)) is not None:
        whose = (
            "it has it already"
            if holder == state.app.id
            else "it belongs to another app; remove it there first"
        )
        raise Refused(Refusal.INVALID, f"{what}: {whose}")
    if foreign := _overlapping(ledger, state, name):
        raise Refused(Refusal.INVALID, f"{what}: {foreign} belongs to somebody else")
    if shown is not None:
        found: SniEndpoint | None = endpoint(state, shown)
        assert found is not None
        _check_covers(found, name)
    else:
        found = _fitting(state.endpoints, name)
    return (DomainAdded(id_, name), *(() if found is None else (DomainEndpointSet(id_, found.id),)))


def _overlapping(ledger: Ledger, state: AppState, name: Hostname) -> Hostname | None:
    """A wildcard over the name, or a name under the wildcard, of an app that another account owns."""
    for other, app in ledger.hostnames.items():
        if (covers(other, name) or covers(name, other)) and ledger.apps[
            app
        ].app.owner.id != state.app.owner.id:
            return other
    return None


def _fitting(endpoints: Iterable[SniEndpoint], name: Hostname) -> SniEndpoint | None:
    fit = [each for each in endpoints if not each.acm and each.certificate.covers(name)]
    return max(fit, key=lambda each: each.certificate.expires_at, default=None)


def _check_covers(found: SniEndpoint, name: Hostname) -> None:
    if not found.certificate.covers(name):
        names = ", ".join(found.certificate.domains)
        raise Refused(
            Refusal.INVALID, f"cannot show {found.name} for {name}: its certificate is for {names} only"
        )


def remove_domain(state: AppState, found: Domain) -> tuple[Payload, ...]:
    """Take a name away, and with it a certificate that we fetched for it alone."""
    return (DomainRemoved(found.id), *_unused(state, [found]))


def _unused(state: AppState, leaving: Iterable[Domain]) -> tuple[Payload, ...]:
    """Remove what we fetched and nobody shows any more."""
    gone = {domain.id for domain in leaving}
    had = {domain.endpoint for domain in state.domains if domain.id in gone}
    used = {domain.endpoint for domain in state.domains if domain.id not in gone}
    return tuple(EndpointRemoved(each.id) for each in state.endpoints if each.acm and each.id in had - used)


def show(state: AppState, found: Domain, ident: str | None) -> tuple[Payload, ...]:
    """Choose whose certificate a domain shows."""
    if ident is None:
        wanted = None
    else:
        named = endpoint(state, ident)
        _check_covers(named, found.hostname)
        wanted = named.id
    if wanted == found.endpoint:
        return ()
    return (DomainEndpointSet(found.id, wanted), *_unused(state, [found]))


# -- endpoints ---------------------------------------------------------------------------------------------------


def add_endpoint(
    state: AppState, certificate: Certificate, id_: EndpointId, draw: Callable[[], str]
) -> tuple[Payload, ...]:
    """Take a certificate into use, for every domain that it covers and that shows none."""
    taken = {each.name for each in state.endpoints}
    while (name := draw()) in taken:
        pass
    bare = [each for each in state.domains if each.endpoint is None and certificate.covers(each.hostname)]
    return (
        EndpointSet(id_, name, certificate),
        *(DomainEndpointSet(each.id, id_) for each in bare),
    )


def update_endpoint(state: AppState, ident: str, certificate: Certificate) -> tuple[Payload, ...]:
    """Put another certificate in the place of one; it must be for all domains that show it."""
    found = endpoint(state, ident)
    bare = [
        each.hostname
        for each in state.domains
        if each.endpoint == found.id and not certificate.covers(each.hostname)
    ]
    if bare:
        raise Refused(
            Refusal.INVALID,
            f"cannot put this certificate into {found.name}: it is not for {', '.join(bare)}, which shows it",
        )
    return (EndpointSet(found.id, found.name, certificate),)


def remove_endpoint(state: AppState, ident: str) -> tuple[Payload, ...]:
    """Take a certificate out of use; its domains show none then."""
    found = endpoint(state, ident)
    shown = [DomainEndpointSet(each.id, None) for each in state.domains if each.endpoint == found.id]
    return (*shown, EndpointRemoved(found.id))


# -- certificates of our own fetching -------------------------------------------------------------------------------


def set_acm(state: AppState, *, on: bool) -> tuple[Payload, ...]:
    """Fetch certificates by ourselves, or no more: then those that were fetched go."""
    if on == state.app.acm:
        return ()
    if on:
        return (AcmSet(on=True),)
    ours = [each.id for each in state.endpoints if each.acm]
    return (
        AcmSet(on=False),
        *(DomainEndpointSet(each.id, None) for each in state.domains if each.endpoint in ours),
        *(EndpointRemoved(id_) for id_ in ours),
    )


def fetched(
    state: AppState, found: Domain, certificate: Certificate, id_: EndpointId, draw: Callable[[], str]
) -> tuple[Payload, ...]:
    """Show a certificate that came for one domain; nothing, if nobody wants it any more."""
    present = next((each for each in state.domains if each.id == found.id), None)
    if present is None or not state.app.acm:
        return ()
    old = next((each for each in state.endpoints if each.id == present.endpoint), None)
    if old is not None:
        return (EndpointSet(old.id, old.name, certificate, acm=True),) if old.acm else ()
    return (EndpointSet(id_, draw(), certificate, acm=True), DomainEndpointSet(present.id, id_))
