"""What people and tools ask for: `Requests` is the `Platform` of the API, in terms of the house.

Each method finds what is named, lets a rule of core/changes.py decide, and returns when the change is on the disk. How dynos, builds
and releases then come about is the house's and its rooms' business.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

from dynod.core import changes
from dynod.core.effects import SIGTERM
from dynod.core.ledger import AppState, Ledger
from dynod.core.lifecycle import Dyno, Kind
from dynod.core.why import causes
from dynod.engine import builds, clock, inside, launches, one_offs
from dynod.engine.app_loop import Quiet, Restart, StopDyno
from dynod.engine.chance import new_id, new_name
from dynod.engine.house import House
from dynod.engine.platform import Attached, BuildAsk, Quota, Readings, RunAsk, SlugAsk
from dynod.engine.readings import readings
from dynod.model.app import Account, App, AppId, AppName, app_name
from dynod.model.autopsy import Autopsy, Cause
from dynod.model.dyno import DynoName, DynoView, dyno_name
from dynod.model.entry import Payload
from dynod.model.formation import Formation, Scale
from dynod.model.log import LogLine, LogQuery
from dynod.model.observation import Observation
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Build, BuildId, Release, ReleaseId, Slug
from dynod.model.traffic import AppTraffic
from dynod.removal import remove_tree

HISTORY = 500  # observations of one dyno that are joined


class Requests:
    def __init__(self, house: House) -> None:
        self.settings = house.settings
        self.domains = house.domains
        self._house = house

    def owner(self) -> Account:
        return self._house.owner()

    def release(self, app: App, ident: str) -> Release:
        return self._house.release(app, ident)

    def build(self, app: App, ident: str) -> Build:
        return self._house.build(app, ident)

    # -- time, in a lab ------------------------------------------------------------------------------------------
    async def advance(self, seconds: int, *, wall_only: bool) -> float:
        if not self.settings.lab_time:
            raise Refused(
                Refusal.FORBIDDEN,
                "cannot move the clock: this is no lab; write lab_time = true into dynod.toml where nobody counts on the time",
            )
        await self._house.router.report()  # requests that came before were before
        await asyncio.gather(*(loop.ask(Quiet()) for loop in self._house.loops()))
        move = clock.set_wall if wall_only else clock.advance
        move(self.settings.run, seconds)
        return clock.wall()

    # -- who -----------------------------------------------------------------------------------------------------
    def account(self, token: str) -> Account:
        return self._house.accounts.account(token)

    def quota(self, account: Account) -> Quota:  # noqa: ARG002  # one account, one pool
        return Quota(self._house.eco.pool, self._house.eco.used())

    def stacks(self) -> Sequence[str]:
        return (self._house.machine.stack,)

    # -- counts --------------------------------------------------------------------------------------------------
    async def traffic(self, app: App) -> AppTraffic:
        await self._house.router.measure()
        return self._house.router.counts.of(app.id)

    async def readings(self) -> Readings:
        return await readings(self._house)

    # -- apps ----------------------------------------------------------------------------------------------------
    def apps(self) -> Sequence[App]:
        return sorted((state.app for state in self._house.ledger.apps.values()), key=lambda app: app.name)

    def app(self, ident: str) -> App:
        app_id = self._house.ledger.names.get(AppName(ident), AppId(ident))
        state = self._house.ledger.apps.get(app_id)
        if state is None:
            raise Refused(Refusal.NOT_FOUND, "Couldn't find that app.")
        return state.app

    async def create_app(self, actor: Account, name: str | None, stack: str | None) -> App:
        app_id = AppId(new_id())
        if stack is not None and stack != self._house.machine.stack:
            raise Refused(
                Refusal.INVALID, f"cannot use stack {stack}: this machine has {self._house.machine.stack}"
            )

        def rule(ledger: Ledger) -> Sequence[Payload]:
            wanted = app_name(name) if name is not None else self._free_name(ledger)
            return changes.create_app(ledger, wanted, actor, self._house.machine.stack, iter(new_id, ""))

        await self._house.books.commit(actor, app_id, rule)
        return self._house.ledger.apps[app_id].app

    @staticmethod
    def _free_name(ledger: Ledger) -> AppName:
        while (name := new_name()) in ledger.names:
            pass
        return name

    async def update_app(
        self, actor: Account, app: App, *, name: str | None, stack: str | None, maintenance: bool | None
    ) -> App:
        wanted = None if name is None else app_name(name)

        def rule(state: AppState) -> Sequence[Payload]:
            return changes.update_app(
                self._house.ledger, state, self.stacks(), name=wanted, stack=stack, maintenance=maintenance
            )

        return await self._house.change(actor, app, rule)

    async def set_buildpacks(self, actor: Account, app: App, urls: Sequence[str]) -> App:
        return await self._house.change(actor, app, lambda state: changes.set_buildpacks(state, urls))

    async def set_feature(self, actor: Account, app: App, name: str, *, enabled: bool) -> None:
        await self._house.change(actor, app, lambda state: changes.set_feature(state, name, enabled=enabled))

    def features(self, app: App) -> Mapping[str, bool]:
        return self._house.state(app).features

    async def destroy_app(self, actor: Account, app: App) -> App:
        last = self._house.state(app).app
        house = self._house
        await house.books.commit(actor, app.id, lambda _: changes.destroy_app(house.state(app)))
        return last

    # -- config and releases -------------------------------------------------------------------------------------
    def config(self, app: App) -> Mapping[str, str]:
        return self._house.state(app).config

    async def set_config(
        self, actor: Account, app: App, changed: Mapping[str, str | None]
    ) -> Mapping[str, str]:
        await self._house.releasing(
            actor, app, lambda state: changes.set_config(state, changed, ReleaseId(new_id()))
        )
        return self._house.state(app).config

    def releases(self, app: App) -> Sequence[Release]:
        return self._house.state(app).releases

    def current_release(self, app: App) -> Release | None:
        return self._house.state(app).current

    async def create_release(self, actor: Account, app: App, slug: Slug, description: str | None) -> Release:
        release = await self._house.releasing(
            actor,
            app,
            lambda state: changes.create_release(state, slug, description, ReleaseId(new_id()), new_id),
        )
        assert release is not None
        return release

    async def rollback(self, actor: Account, app: App, release: Release) -> Release:
        made = await self._house.releasing(
            actor, app, lambda state: changes.rollback(state, release, ReleaseId(new_id()), new_id)
        )
        assert made is not None
        return made

    def release_output(self, app: App, release: Release) -> AsyncIterator[bytes]:  # noqa: ARG002  # Platform's shape
        return self._house.outputs.follow(release.id)

    # -- slugs and builds ----------------------------------------------------------------------------------------
    def slug(self, app: App, ident: str) -> Slug:
        for slug in self._house.state(app).slugs.values():
            if slug.id == ident:
                return slug
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that slug.")

    def slug_blob(self, slug: Slug) -> str:
        return self._house.slugs.archive(slug.sha256)

    async def add_slug(self, actor: Account, app: App, ask: SlugAsk) -> Slug:
        return await builds.add_slug(self._house, actor, app, ask)

    def builds(self, app: App) -> Sequence[Build]:
        return self._house.state(app).builds

    async def start_build(self, actor: Account, app: App, ask: BuildAsk) -> Build:
        build_id = BuildId(new_id())
        packs = ask.buildpacks or app.buildpacks

        def rule(state: AppState) -> Sequence[Payload]:
            return changes.start_build(state, build_id, ask.commit, state.app.build_stack, packs)

        await self._house.change(actor, app, rule)
        self._house.outputs.open(build_id)
        self._house.tasks.spawn(builds.run(self._house, actor, app, build_id, ask))
        return self.build(app, build_id)

    def build_output(self, app: App, build: Build) -> AsyncIterator[bytes]:  # noqa: ARG002  # Platform's shape
        return self._house.outputs.follow(build.id)

    async def clear_cache(self, actor: Account, app: App) -> None:  # noqa: ARG002  # Platform's shape
        cache = f"{self.settings.state}/cache/{self._house.state(app).app.id}"
        with contextlib.suppress(OSError):  # a build that runs may write to it
            await asyncio.to_thread(remove_tree, cache)

    # -- formation and dynos -------------------------------------------------------------------------------------
    def formation(self, app: App) -> Sequence[Formation]:
        return self._house.state(app).formation

    async def scale(self, actor: Account, app: App, asked: Sequence[Scale]) -> Sequence[Formation]:
        await self._house.change(actor, app, lambda state: changes.scale(state, asked))
        named = {each.type for each in asked}
        return [row for row in self._house.state(app).formation if row.type in named]

    def dynos(self, app: App) -> Sequence[DynoView]:
        return [launches.view(dyno) for dyno in self._house.loop(app.id).fleet.shown()]

    async def run(self, actor: Account, app: App, ask: RunAsk) -> tuple[DynoView, Attached | None]:
        return await one_offs.run(self._house, actor, app, ask)

    async def exec(self, actor: Account, app: App, dyno: str, ask: RunAsk) -> Attached:
        return await inside.run(self._house, actor, app, dyno, ask)

    async def dial(self, app: App, dyno: str, port: int) -> Attached:
        return await inside.dial(self._house, app, dyno, port)

    def _named(self, app: App, which: str) -> tuple[DynoName, ...]:
        names = tuple(sorted(self._house.loop(app.id).fleet.slots))
        found = tuple(name for name in names if which in {str(name), name.type})
        if not found:
            raise Refused(Refusal.NOT_FOUND, "Couldn't find that dyno.")
        return found

    async def restart(self, actor: Account, app: App, which: str | None) -> None:
        loop = self._house.loop(self._house.state(app).app.id)
        if which is not None and self._one_off(app, which) is not None:
            await self.stop(actor, app, which)
            return
        names = tuple(loop.fleet.slots) if which is None else self._named(app, which)
        await loop.ask(Restart(tuple(sorted(names)), f"restart by {actor.email}"))

    def _one_off(self, app: App, which: str) -> Dyno | None:
        dynos = self._house.loop(app.id).fleet.dynos.values()
        one_offs_ = (dyno for dyno in dynos if dyno.kind is Kind.ONE_OFF)
        return next((dyno for dyno in one_offs_ if which in {str(dyno.name), dyno.id}), None)

    async def stop(self, actor: Account, app: App, which: str) -> None:
        loop = self._house.loop(self._house.state(app).app.id)
        why = f"stopped by {actor.email}"
        if (one_off := self._one_off(app, which)) is not None:
            await loop.ask(StopDyno(one_off.id, why, SIGTERM))
            return
        await loop.ask(Restart(self._named(app, which), why))

    def explain(self, app: App, dyno: str) -> Sequence[str]:
        fleet = self._house.loop(app.id).fleet
        name = dyno_name(dyno)
        for each in fleet.shown():
            if each.name == name and each.id in self._house.plans:
                return self._house.plans[each.id].describe()
        raise Refused(
            Refusal.NOT_FOUND, f"cannot explain {dyno} of {app.name}: it is not running; see `dyno ps`"
        )

    async def why(self, app: App, dyno: str) -> Sequence[Cause]:
        known = await self._house.observations.history(app.id, HISTORY, dyno)
        unwritten = (each for each in self._house.unwritten.waiting if isinstance(each, Observation))
        return causes(
            [*known, *(each for each in unwritten if each.app == app.id and dyno in {each.name, each.dyno})]
        )

    async def autopsies(self, app: App, dyno: str) -> Sequence[Autopsy]:
        return await self._house.autopsies.find(app.id, dyno)

    # -- logs ----------------------------------------------------------------------------------------------------
    async def logs(self, query: LogQuery) -> AsyncIterator[LogLine]:
        if query.tail:
            async for line in self._house.log.tail(query):
                yield line
        else:
            for line in await self._house.log.recent(query):
                yield line
