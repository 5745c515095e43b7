"""Domains, SNI endpoints and automatic certificates of an app."""

from collections.abc import Sequence
from typing import Any

from dynod.api import apps, fields, render
from dynod.api.operation import Ask
from dynod.model.domain import Domain, SniEndpoint
from dynod.model.refused import Refusal, Refused


def _domain(ask: Ask, domain: Domain, endpoints: Sequence[SniEndpoint]) -> Any:
    shown = next((each for each in endpoints if each.id == domain.endpoint), None)
    status = ask.platform.domains.acm_status(ask.app, domain)
    return render.custom_domain(ask.app, domain, shown, status, ask.links)


def _one(ask: Ask, domain: Domain) -> Any:
    return _domain(ask, domain, ask.platform.domains.endpoints(ask.app))


async def index(ask: Ask) -> Any:
    endpoints = ask.platform.domains.endpoints(ask.app)
    custom = [_domain(ask, each, endpoints) for each in ask.platform.domains.all(ask.app)]
    return [render.domain(ask.app, ask.links), *custom]


async def info(ask: Ask) -> Any:
    own = render.domain(ask.app, ask.links)
    if ask.params["domain"] in {own["hostname"], own["id"]}:
        return own
    return _one(ask, ask.platform.domains.find(ask.app, ask.params["domain"]))


def _custom(ask: Ask) -> Domain:
    """Find one that people added."""
    own = render.domain(ask.app, ask.links)
    if ask.params["domain"] in {own["hostname"], own["id"]}:
        raise Refused(
            Refusal.NOT_FOUND, f"cannot change {own['hostname']}: it is the app's own name, which stays"
        )
    return ask.platform.domains.find(ask.app, ask.params["domain"])


async def create(ask: Ask) -> Any:
    body = fields.mapping(ask.body)
    name, endpoint = fields.text(body, "hostname"), fields.identity(body, "sni_endpoint")
    return _one(ask, await ask.platform.domains.add(ask.account, ask.app, name, endpoint or None))


async def update(ask: Ask) -> Any:
    found = _custom(ask)
    endpoint = fields.identity(fields.mapping(ask.body), "sni_endpoint")
    return _one(ask, await ask.platform.domains.show(ask.account, ask.app, found, endpoint or None))


async def remove(ask: Ask) -> Any:
    found = _custom(ask)
    gone = _one(ask, found)
    await ask.platform.domains.remove(ask.account, ask.app, found)
    return gone


# -- SNI endpoints -----------------------------------------------------------------------------------------------


def _endpoint(ask: Ask, endpoint: SniEndpoint) -> Any:
    shown = [each.id for each in ask.platform.domains.all(ask.app) if each.endpoint == endpoint.id]
    return render.sni_endpoint(ask.app, endpoint, shown)


def _texts(ask: Ask) -> tuple[str, str]:
    body = fields.mapping(ask.body)
    return fields.text(body, "certificate_chain"), fields.text(body, "private_key")


async def endpoints(ask: Ask) -> Any:
    return [_endpoint(ask, each) for each in ask.platform.domains.endpoints(ask.app)]


async def endpoint(ask: Ask) -> Any:
    return _endpoint(ask, ask.platform.domains.endpoint(ask.app, ask.params["endpoint"]))


async def add_endpoint(ask: Ask) -> Any:
    made = await ask.platform.domains.add_endpoint(ask.account, ask.app, *_texts(ask))
    return _endpoint(ask, made)


async def update_endpoint(ask: Ask) -> Any:
    ident = ask.params["endpoint"]
    made = await ask.platform.domains.update_endpoint(ask.account, ask.app, ident, *_texts(ask))
    return _endpoint(ask, made)


async def remove_endpoint(ask: Ask) -> Any:
    gone = await ask.platform.domains.remove_endpoint(ask.account, ask.app, ask.params["endpoint"])
    return render.sni_endpoint(ask.app, gone, [])


# -- automatic certificates --------------------------------------------------------------------------------------


async def acm_on(ask: Ask) -> Any:
    return await _acm(ask, on=True)


async def acm_off(ask: Ask) -> Any:
    return await _acm(ask, on=False)


async def _acm(ask: Ask, *, on: bool) -> Any:
    return apps.shown(ask, await ask.platform.domains.set_acm(ask.account, ask.app, on=on))


async def acm_refresh(ask: Ask) -> Any:
    return apps.shown(ask, ask.platform.domains.refresh_acm(ask.app))
