"""Launching one dyno: from its record to a running jail. Every kind of dyno but the build comes through here."""

import asyncio
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from dynod.core import metadata
from dynod.core.environ import environ
from dynod.core.launch import Wiring, launch_plan
from dynod.core.ledger import AppState
from dynod.core.lifecycle import Dyno
from dynod.host.jail_link import Live
from dynod.host.slugs import SlugDamaged
from dynod.model.app import AppId
from dynod.model.dyno import DynoView
from dynod.model.formation import dyno_size
from dynod.model.jail import JailPlan, Stdio
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Release

if TYPE_CHECKING:
    from dynod.engine.house import House
    from dynod.engine.one_offs import Asked


def view(dyno: Dyno) -> DynoView:
    """A dyno as lists show it."""
    return DynoView(
        dyno.id,
        dyno.name,
        dyno.shown,
        dyno.size,
        dyno.command,
        dyno.version,
        dyno.release,
        dyno.created,
        dyno.entered,
    )


def _release(state: AppState, dyno: Dyno) -> Release:
    for release in state.releases:
        if release.id == dyno.release:
            return release
    raise Refused(Refusal.NOT_FOUND, f"cannot start {dyno.name}: its release is missing")


async def slug_tree(house: "House", state: AppState, release: Release, dyno: Dyno) -> str:
    """Where the release's slug lies unpacked, unpacked anew if the tree has vanished; '' for a release without one.

    Raise Refused when the archive is gone or cannot be unpacked, SlugDamaged (R17) when it is not what it was.
    """
    slug = state.slug_of(release)
    if slug is None:
        return ""
    tree = house.slugs.tree(slug.sha256)
    if os.path.isdir(tree):
        return tree
    try:
        return await asyncio.to_thread(house.slugs.unpack, slug.sha256)
    except Refused as refused:
        if refused.refusal is not Refusal.NOT_FOUND:
            raise
        raise Refused(
            Refusal.GONE,
            f"cannot start {dyno.name}: slug v{release.version} is missing; put {house.slugs.archive(slug.sha256)} "
            f"back, or push again",
        ) from refused


def reason(dyno: Dyno, error: Exception) -> str:
    """Say why a dyno cannot be started, by its name, in the words of whoever could not: R17 to Heroku's letter."""
    if isinstance(error, SlugDamaged):
        return error.line
    why = str(error)
    for start in (f"cannot start {dyno.id}: ", f"cannot start {dyno.name}: "):
        why = why.removeprefix(start)
    return f"cannot start {dyno.name}: {why}"


def _plan(
    house: "House",
    state: AppState,
    release: Release,
    dyno: Dyno,
    tree: str,
    wiring: Wiring,
    asked: "Asked | None",
) -> JailPlan:
    env = environ(
        release.config,
        {} if asked is None else asked.env,
        dyno=str(dyno.name),
        port=dyno.port,
        memory=dyno_size(dyno.size).memory,
        stack_env=house.machine.stack_env,
        metadata=metadata.of_dyno(state, release, dyno.id, house.settings.domain),
    )
    return launch_plan(
        dyno,
        state.app.name,
        tree,
        dyno_size(dyno.size),
        env,
        house.machine.ground,
        wiring,
        Stdio.LOG if asked is None else asked.stdio,
        (80, 24) if asked is None else asked.window,
    )


def recalled_plan(house: "House", dyno: Dyno, live: Live) -> JailPlan:
    """The plan of a dyno that an earlier daemon launched, made again from what the dyno host kept of it; raise Refused."""
    state = house.ledger.apps.get(dyno.app)
    if state is None:
        raise Refused(Refusal.NOT_FOUND, f"cannot explain {dyno.name}: its app was destroyed")
    release = _release(state, dyno)
    netns, address, address6 = (live.labels.get(name, "") for name in ("netns", "address", "address6"))
    wiring = Wiring(live.uid, netns, address, address6)
    slug = state.slug_of(release)
    tree = "" if slug is None else house.slugs.tree(slug.sha256)
    plan = _plan(house, state, release, dyno, tree, wiring, None)
    # Another than today's, maybe: tidying lets it be.
    stands_on = live.labels.get("skeleton", plan.lower[-1][0])
    return replace(plan, lower=(*plan.lower[:-1], (stands_on, False)))


async def launch(house: "House", app: AppId, dyno: Dyno) -> str:
    """Take what the dyno needs, boot it, and return its address; raise Refused (Reap gives back what was taken)."""
    asked = house.sessions.get(dyno.id)
    try:
        return await _launch(house, app, dyno, asked)
    except BaseException:
        if asked is not None and not asked.fds.done():
            asked.fds.set_result(())  # whatever failed: a client waits for them
        raise


async def _launch(house: "House", app: AppId, dyno: Dyno, asked: "Asked | None") -> str:
    state = house.ledger.apps.get(app)
    if state is None:
        raise Refused(Refusal.NOT_FOUND, f"cannot start {dyno.name}: its app was destroyed")
    release = _release(state, dyno)
    tree = await slug_tree(house, state, release, dyno)
    if asked is not None:  # somebody waits at it: not behind a thousand dynos of others
        return await _run(house, state, release, dyno, tree, asked)
    async with house.machine.turns:
        return await _run(house, state, release, dyno, tree, None)


async def _run(
    house: "House", state: AppState, release: Release, dyno: Dyno, tree: str, asked: "Asked | None"
) -> str:
    machine = house.machine
    wiring = await machine.take(dyno.id)
    plan = _plan(house, state, release, dyno, tree, wiring, asked)
    house.plans[dyno.id] = plan
    booted = await machine.boot(plan)
    house.memory.begin(state.app.id, dyno.id, dyno.name, dyno_size(dyno.size).memory, booted.cgroups)
    if asked is not None:
        asked.fds.set_result(booted.fds)
    return wiring.address
