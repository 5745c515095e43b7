"""The engine: joins the ledger, every app's loop, the machine, the router and the log. `House` is the `Platform` of the API.

What is decided stands in core/; what happens to one app happens in its loop (app_loop.py); how a dyno is launched, built or
attached to has a module each. Here is who knows whom, and the reads and plain writes of the Platform.
"""

import asyncio
import contextlib
import logging
import os
import random
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from dynod.core import activity, changes
from dynod.core.effects import Boot, Effect, Ended, Note, Reap, Say, Signal, WatchPort
from dynod.core.fleet import Desired, Draw, Fleet, resumed
from dynod.core.ledger import AppState, Ledger
from dynod.core.lifecycle import (
    SIGTERM,
    Dyno,
    Exited,
    Kind,
    Launched,
    LaunchFailed,
    Now,
    Phase,
    PortBound,
)
from dynod.core.names import draw_name
from dynod.core.routes import app_route, table
from dynod.engine import builds, clock, launches, one_offs, phase, portwatch, records
from dynod.engine.accounts import Accounts
from dynod.engine.app_loop import Adopt, AppLoop, Happened, Reconcile, Restart, StopDyno
from dynod.engine.books import Books
from dynod.engine.machine import Machine
from dynod.engine.outputs import Outputs
from dynod.engine.platform import Attached, BuildAsk, RunAsk, SlugAsk
from dynod.engine.routerlink import RouterLink
from dynod.engine.tasks import Tasks
from dynod.host.jail_link import Ended as HostEnded
from dynod.host.jail_link import Live
from dynod.host.log_link import LogLink
from dynod.host.slugs import Slugs
from dynod.model.app import Account, App, AppId, AppName, app_name
from dynod.model.dyno import DynoId, DynoName, DynoView, Exit, dyno_name
from dynod.model.entry import AppDestroyed, BuildStarted, Entry, Payload, ReleaseCreated
from dynod.model.formation import Formation, Scale
from dynod.model.jail import JailPlan
from dynod.model.log import LogLine, LogQuery
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Build, BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, Slug
from dynod.model.route import AppRoute, Standing
from dynod.model.settings import Settings
from dynod.store.observations import Observation, Observations

Rule = Callable[[AppState], Sequence[Payload]]
_log = logging.getLogger(__name__)


def _new_id() -> str:
    return str(uuid.uuid4())


DRAW = Draw(
    new_id=_new_id,
    cycle=random.random,
    port=lambda: random.randint(3000, 59_999),
    number=lambda: random.randint(1000, 9999),
)


class House:
    """Made by `daemon.py`; `open` brings it to life, `close` lets go of everything and leaves the dynos alone."""

    def __init__(
        self,
        settings: Settings,
        accounts: Accounts,
        books: Books,
        observations: Observations,
        slugs: Slugs,
        log: LogLink,
    ) -> None:
        self.settings = settings
        self.draw = DRAW
        self.accounts = accounts
        self.books = books
        books.on_entry = self.on_entry
        self.observations = observations
        self.slugs = slugs
        self.log = log
        self.outputs = Outputs(os.path.join(settings.state, "output"))
        self.tasks = Tasks()
        self.plans: dict[DynoId, JailPlan] = {}
        self.endings: dict[DynoId, asyncio.Future[int]] = {}  # one-offs, told by their loop
        self.waits: dict[DynoId, asyncio.Future[int]] = {}  # builds and orphans, told by the dyno host
        self.launching: set[DynoId] = set()
        self._early: dict[DynoId, HostEnded] = {}
        self.sessions: dict[DynoId, one_offs.Asked] = {}
        self.machine: Machine
        self._loops: dict[AppId, AppLoop] = {}
        self._routes: dict[AppId, AppRoute] = {}
        self._watches: dict[DynoId, asyncio.Task[None]] = {}
        self._router = RouterLink(settings, self._wake)
        self._generation = 0

    # -- life ----------------------------------------------------------------------------------------------------
    async def open(self, machine: Machine) -> None:
        """Recall every app's dynos, tell the routers, then meet the dyno host and adopt what runs."""
        self.machine = machine
        recorded = await self.observations.dynos()
        for app in {*self.ledger.apps, *(AppId(key) for key in recorded)}:
            self._add_loop(app, await self.recall(app))
        self._publish()
        await self._router.open()
        machine.open()
        await machine.met.wait()
        await self._settle_interrupted()

    async def close(self) -> None:
        """Stop deciding. Dynos run on, requests flow on."""
        await self.tasks.close()
        await self._router.close()
        await self.machine.close()

    @property
    def ledger(self) -> Ledger:
        return self.books.ledger

    def _add_loop(self, app: AppId, fleet: Fleet) -> AppLoop:
        loop = AppLoop(app, self, fleet)
        self._loops[app] = loop
        self._routes[app] = self._route(app, fleet)
        self.tasks.spawn(loop.run())
        return loop

    def loop(self, app: AppId) -> AppLoop:
        """The loop of an app that exists."""
        return self._loops[app]

    async def _settle_interrupted(self) -> None:
        # A build or a release phase whose engine was killed has no one left who could end it well.
        for app, state in self.ledger.apps.items():
            for build in state.builds:
                if build.status is BuildStatus.PENDING:
                    await self.books.commit(self.owner(), app, builds.failed(build.id))
            if (pending := state.pending) is not None:
                await phase.settle(self, app, pending.id, ReleaseStatus.FAILED)

    async def on_host(self, live: Sequence[Live]) -> None:
        """Adopt: what lives is ours, what is recorded but unknown to the host is lost, what nobody recorded is ended."""
        known: set[str] = set()
        alive = {each.id: each for each in live}
        for app, loop in tuple(self._loops.items()):
            fleet = loop.fleet
            known |= set(fleet.dynos)
            dynos = [each for each in fleet.dynos.values() if each.phase is not Phase.ENDED]
            gone = tuple(d.id for d in dynos if d.id not in alive and d.id not in self.launching)
            for dyno in dynos:
                if dyno.id in alive and dyno.id not in self.launching:
                    self._adopt(loop, dyno, alive[dyno.id])
            orphans = tuple(
                d.id for d in dynos if d.kind is Kind.ONE_OFF and d.attached and d.id not in self.sessions
            )
            loop.post(Adopt(resumed(fleet), gone))
            for orphan in orphans:
                loop.post(StopDyno(orphan, "its client's connection was lost", SIGTERM))
            loop.post(Reconcile("the control plane was restarted"))
            _log.info("app %s: adopted %d dynos, %d are gone", app, len(dynos) - len(gone), len(gone))
        for dyno_id, waiting in self.waits.items():
            if dyno_id not in alive and dyno_id not in self.launching and not waiting.done():
                waiting.set_result(128 + 9)
        known |= self.launching | set(self.waits)
        for each in live:
            if each.id not in known:
                self.tasks.spawn(self._end_unknown(each))
        self.tasks.spawn(self.machine.sweep_networks(known | set(alive)))

    def _adopt(self, loop: AppLoop, dyno: Dyno, live: Live) -> None:
        with contextlib.suppress(Refused):
            self.plans[dyno.id] = launches.recalled_plan(self, dyno, live)
        if dyno.phase is Phase.LAUNCHING:
            loop.post(Happened(dyno.id, Launched(live.labels.get("address", ""))))

    async def _end_unknown(self, live: Live) -> None:
        if live.status is None:
            ending = self.waits.setdefault(DynoId(live.id), asyncio.get_running_loop().create_future())
            await self.machine.signal(live.id, 9)
            await ending
        await self.machine.give_back(live.id)
        self.waits.pop(DynoId(live.id), None)

    def on_exit(self, ended: HostEnded) -> None:
        """The dyno host says that one ended: its app's loop, or whoever waits for it, takes it from there."""
        dyno = DynoId(ended.id)
        if (waiting := self.waits.get(dyno)) is not None:
            if not waiting.done():
                waiting.set_result(ended.status)
            return
        if dyno in self.launching:
            self._early[dyno] = ended  # over before its launch could be told
            return
        for loop in self._loops.values():
            if dyno in loop.fleet.dynos:
                loop.post(Happened(dyno, Exited(Exit(ended.status), ended.oom)))
                return

    # -- surroundings of the loops -------------------------------------------------------------------------------
    def now(self) -> Now:
        return clock.now()

    def desired(self, app: AppId) -> Desired:
        """What should run of an app: the formation of its deployed release, nothing for one that is no more."""
        state = self.ledger.apps.get(app)
        if state is None or (release := state.deployed) is None:
            return Desired(app)
        return Desired(
            app,
            release.id,
            release.version,
            state.formation,
            release.config,
            self.settings.boot_timeout,
            self.settings.stop_grace,
        )

    async def keep(self, app: AppId, fleet: Fleet) -> None:
        """Write the fleet's record; it is there for the next daemon before anything is done about it."""
        if fleet.dynos or app in self.ledger.apps:
            await self.observations.put_dyno(app, records.encode(fleet))
        else:
            await self.observations.delete_dyno(app)

    async def recall(self, app: AppId) -> Fleet:
        """The fleet as it was kept; an unreadable record is an empty fleet, whose dynos the host then ends."""
        data = (await self.observations.dynos()).get(app)
        try:
            return Fleet() if data is None else records.decode(data)
        except records.BadRecord as error:
            _log.error("app %s: %s; its dynos are started anew", app, error)
            return Fleet()

    def _route(self, app: AppId, fleet: Fleet) -> AppRoute:
        state = self.ledger.apps.get(app)
        if state is None:
            return AppRoute(app, "", Standing.NO_WEB)
        return app_route(
            state.app,
            state.formation,
            fleet,
            state.config,
            state.features,
            deployed=state.deployed is not None,
        )

    def route_changed(self, app: AppId, fleet: Fleet) -> None:
        """Tell the routers, if there is something to tell; before the effects, so that no request meets a stopping dyno."""
        route = self._route(app, fleet)
        if route != self._routes.get(app):
            self._routes[app] = route
            self._publish()

    def _publish(self) -> None:
        self._generation = max(self._generation + 1, int(clock.now().wall * 1000))
        routes = [route for app, route in self._routes.items() if app in self.ledger.apps]
        self._router.publish(table(self._generation, routes, self.settings.domain))

    def _wake(self, app: str) -> None:
        if (loop := self._loops.get(AppId(app))) is not None:
            loop.post(Reconcile("a request came"))

    def perform(self, app: AppId, fleet: Fleet, effect: Effect) -> None:
        """Carry out one effect; completions come back to the loop as messages."""
        match effect:
            case Boot(dyno):
                self.launching.add(dyno)
                self.tasks.spawn(self._boot(app, fleet.dynos[dyno]))
            case WatchPort(dyno):
                self._watches[dyno] = self.tasks.spawn(self._watch(app, fleet.dynos[dyno]))
            case Signal(dyno, signal):
                self.tasks.spawn(self.machine.signal(dyno, signal))
            case Reap(dyno):
                if (watch := self._watches.pop(dyno, None)) is not None:
                    watch.cancel()
                self.tasks.spawn(self._reap(app, dyno))
            case Say(name, text):
                self.say(app, str(name), text)
            case Ended(dyno, status):
                ending = self.endings.pop(dyno, None)
                if ending is not None and not ending.done():
                    ending.set_result(status)
            case Note(dyno, name, what, detail):
                note = Observation(dyno, str(name), app, what, clock.now().wall, detail)
                self.tasks.spawn(self.observations.note([note]))

    def say(self, app: AppId, process: str, text: str) -> None:
        """A platform line: source `heroku`."""
        self.log.write(app, "heroku", process, text)

    async def _boot(self, app: AppId, dyno: Dyno) -> None:
        try:
            address = await launches.launch(self, app, dyno)
        except (Refused, ConnectionError, RuntimeError, OSError) as error:
            reason = str(error)
            said = reason if reason.startswith("cannot") else f"cannot start {dyno.name}: {reason}"
            event: Launched | LaunchFailed = LaunchFailed(said)
        else:
            event = Launched(address)
        finally:
            self.launching.discard(dyno.id)
        self._loops[app].post(Happened(dyno.id, event))
        if (early := self._early.pop(dyno.id, None)) is not None:
            self.on_exit(early)

    async def _watch(self, app: AppId, dyno: Dyno) -> None:
        await portwatch.accepts(dyno.address, dyno.port)
        self._loops[app].post(Happened(dyno.id, PortBound()))

    async def _reap(self, app: AppId, dyno: DynoId) -> None:
        self.plans.pop(dyno, None)
        self.sessions.pop(dyno, None)
        await self.machine.give_back(dyno)
        if app not in self.ledger.apps and not self._loops[app].fleet.dynos:
            await self._forget_app(app)

    async def _forget_app(self, app: AppId) -> None:
        self._loops.pop(app, None)
        self._routes.pop(app, None)
        await self.observations.delete_dyno(app)
        with contextlib.suppress(ConnectionError, Refused):
            await self.log.forget(app)
        state = self.settings.state
        for path in (f"{state}/git/{app}.git", f"{state}/cache/{app}"):
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)

    def on_entry(self, entry: Entry, before: AppState | None, after: AppState | None) -> None:
        """What a new line of the ledger means for the log, the dynos and the routes."""
        for line in activity.lines(entry, before, after, f"https://{self.settings.api}"):
            self.log.write(entry.app, "app", "api", line)
        loop = self._loops.get(entry.app)
        if loop is None:
            loop = self._add_loop(entry.app, Fleet())
            self._publish()
        if isinstance(entry.payload, BuildStarted):
            return
        if isinstance(entry.payload, AppDestroyed):
            self._publish()
        self.route_changed(entry.app, loop.fleet)
        loop.post(Reconcile(activity_reason(entry.payload)))
        if after is None and not loop.fleet.dynos:
            self.tasks.spawn(self._forget_app(entry.app))

    # -- who -----------------------------------------------------------------------------------------------------
    def account(self, token: str) -> Account:
        return self.accounts.account(token)

    def owner(self) -> Account:
        return self.accounts.owner

    def stacks(self) -> Sequence[str]:
        return (self.machine.stack,)

    # -- apps ----------------------------------------------------------------------------------------------------
    def state(self, app: App) -> AppState:
        """The newest state of an app; raise Refused if it is no more."""
        state = self.ledger.apps.get(app.id)
        if state is None:
            raise Refused(Refusal.NOT_FOUND, f"Couldn't find that app: {app.name} was destroyed.")
        return state

    def apps(self) -> Sequence[App]:
        return sorted((state.app for state in self.ledger.apps.values()), key=lambda app: app.name)

    def app(self, ident: str) -> App:
        app_id = self.ledger.names.get(AppName(ident), AppId(ident))
        state = self.ledger.apps.get(app_id)
        if state is None:
            raise Refused(Refusal.NOT_FOUND, "Couldn't find that app.")
        return state.app

    async def create_app(self, actor: Account, name: str | None, stack: str | None) -> App:
        app_id = AppId(_new_id())
        if stack is not None and stack != self.machine.stack:
            raise Refused(Refusal.INVALID, f"cannot use stack {stack}: this machine has {self.machine.stack}")

        def rule(ledger: Ledger) -> Sequence[Payload]:
            wanted = app_name(name) if name is not None else self._free_name(ledger)
            return changes.create_app(ledger, wanted, actor, self.machine.stack, iter(_new_id, ""))

        await self.books.commit(actor, app_id, rule)
        return self.ledger.apps[app_id].app

    @staticmethod
    def _free_name(ledger: Ledger) -> AppName:
        while (name := draw_name(random.getrandbits(64))) in ledger.names:
            pass
        return name

    async def _change(self, actor: Account, app: App, rule: Rule) -> App:
        def on_state(ledger: Ledger) -> Sequence[Payload]:
            state = ledger.apps.get(app.id)
            if state is None:
                raise Refused(Refusal.NOT_FOUND, "Couldn't find that app.")
            return rule(state)

        await self.books.commit(actor, app.id, on_state)
        return self.ledger.apps[app.id].app

    async def rename_app(self, actor: Account, app: App, name: str) -> App:
        wanted = app_name(name)
        return await self._change(actor, app, lambda state: changes.rename_app(self.ledger, state, wanted))

    async def set_maintenance(self, actor: Account, app: App, *, on: bool) -> App:
        return await self._change(actor, app, lambda state: changes.set_maintenance(state, on=on))

    async def set_build_stack(self, actor: Account, app: App, stack: str) -> App:
        stacks = (self.machine.stack,)
        return await self._change(actor, app, lambda state: changes.set_build_stack(state, stack, stacks))

    async def set_buildpacks(self, actor: Account, app: App, urls: Sequence[str]) -> App:
        return await self._change(actor, app, lambda state: changes.set_buildpacks(state, urls))

    async def set_feature(self, actor: Account, app: App, name: str, *, enabled: bool) -> None:
        await self._change(actor, app, lambda state: changes.set_feature(state, name, enabled=enabled))

    def features(self, app: App) -> Mapping[str, bool]:
        return self.state(app).features

    async def destroy_app(self, actor: Account, app: App) -> App:
        last = self.state(app).app
        await self.books.commit(actor, app.id, lambda ledger: changes.destroy_app(ledger.apps[app.id]))
        return last

    # -- config and releases -------------------------------------------------------------------------------------
    def config(self, app: App) -> Mapping[str, str]:
        return self.state(app).config

    async def set_config(
        self, actor: Account, app: App, changed: Mapping[str, str | None]
    ) -> Mapping[str, str]:
        await self.releasing(
            actor, app, lambda state: changes.set_config(state, changed, ReleaseId(_new_id()))
        )
        return self.state(app).config

    async def releasing(self, actor: Account, app: App, rule: Rule) -> Release | None:
        """Commit what makes a release, and run its release phase in the background if it has one; None if nothing changed."""
        before = self.state(app)
        await self._change(actor, app, rule)
        after = self.state(app)
        if after.next_version == before.next_version:
            return None
        release = after.releases[-1]
        if release.status is ReleaseStatus.PENDING:
            self.outputs.open(release.id)
            self.tasks.spawn(phase.run(self, actor, app, release))
        return release

    def releases(self, app: App) -> Sequence[Release]:
        return self.state(app).releases

    def release(self, app: App, ident: str) -> Release:
        for release in self.state(app).releases:
            if ident in {release.id, str(release.version), f"v{release.version}"}:
                return release
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that release.")

    def current_release(self, app: App) -> Release | None:
        return self.state(app).current

    async def create_release(self, actor: Account, app: App, slug: Slug, description: str | None) -> Release:
        release = await self.releasing(
            actor,
            app,
            lambda state: changes.create_release(state, slug, description, ReleaseId(_new_id()), _new_id),
        )
        assert release is not None
        return release

    async def rollback(self, actor: Account, app: App, release: Release) -> Release:
        made = await self.releasing(
            actor, app, lambda state: changes.rollback(state, release, ReleaseId(_new_id()), _new_id)
        )
        assert made is not None
        return made

    def release_output(self, app: App, release: Release) -> AsyncIterator[bytes]:  # noqa: ARG002  # Platform's shape
        return self.outputs.follow(release.id)

    # -- slugs and builds ----------------------------------------------------------------------------------------
    def slug(self, app: App, ident: str) -> Slug:
        for slug in self.state(app).slugs.values():
            if slug.id == ident:
                return slug
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that slug.")

    def slug_blob(self, slug: Slug) -> str:
        return self.slugs.archive(slug.sha256)

    async def add_slug(self, actor: Account, app: App, ask: SlugAsk) -> Slug:
        return await builds.add_slug(self, actor, app, ask)

    def builds(self, app: App) -> Sequence[Build]:
        return self.state(app).builds

    def build(self, app: App, ident: str) -> Build:
        for build in self.state(app).builds:
            if build.id == ident:
                return build
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that build.")

    async def start_build(self, actor: Account, app: App, ask: BuildAsk) -> Build:
        build_id = BuildId(_new_id())
        packs = ask.buildpacks or app.buildpacks

        def rule(state: AppState) -> Sequence[Payload]:
            return changes.start_build(state, build_id, ask.commit, state.app.build_stack, packs)

        await self._change(actor, app, rule)
        self.outputs.open(build_id)
        self.tasks.spawn(builds.run(self, actor, app, build_id, ask))
        return self.build(app, build_id)

    def build_output(self, app: App, build: Build) -> AsyncIterator[bytes]:  # noqa: ARG002  # Platform's shape
        return self.outputs.follow(build.id)

    async def clear_cache(self, actor: Account, app: App) -> None:  # noqa: ARG002  # Platform's shape
        cache = f"{self.settings.state}/cache/{self.state(app).app.id}"
        await asyncio.to_thread(shutil.rmtree, cache, ignore_errors=True)

    # -- formation and dynos -------------------------------------------------------------------------------------
    def formation(self, app: App) -> Sequence[Formation]:
        return self.state(app).formation

    async def scale(self, actor: Account, app: App, asked: Sequence[Scale]) -> Sequence[Formation]:
        await self._change(actor, app, lambda state: changes.scale(state, asked))
        named = {each.type for each in asked}
        return [row for row in self.state(app).formation if row.type in named]

    def dynos(self, app: App) -> Sequence[DynoView]:
        return [launches.view(dyno) for dyno in self._loops[app.id].fleet.shown()]

    async def run(self, actor: Account, app: App, ask: RunAsk) -> tuple[DynoView, Attached | None]:
        return await one_offs.run(self, actor, app, ask)

    def _named(self, app: App, which: str) -> tuple[DynoName, ...]:
        names = tuple(sorted(self._loops[app.id].fleet.slots))
        found = tuple(name for name in names if which in {str(name), name.type})
        if not found:
            raise Refused(Refusal.NOT_FOUND, "Couldn't find that dyno.")
        return found

    async def restart(self, actor: Account, app: App, which: str | None) -> None:
        loop = self._loops[self.state(app).app.id]
        if which is not None and self._one_off(app, which) is not None:
            await self.stop(actor, app, which)
            return
        names = tuple(loop.fleet.slots) if which is None else self._named(app, which)
        await loop.ask(Restart(tuple(sorted(names)), f"restart by {actor.email}"))

    def _one_off(self, app: App, which: str) -> Dyno | None:
        dynos = self._loops[app.id].fleet.dynos.values()
        one_offs_ = (dyno for dyno in dynos if dyno.kind is Kind.ONE_OFF)
        return next((dyno for dyno in one_offs_ if which in {str(dyno.name), dyno.id}), None)

    async def stop(self, actor: Account, app: App, which: str) -> None:
        loop = self._loops[self.state(app).app.id]
        why = f"stopped by {actor.email}"
        if (one_off := self._one_off(app, which)) is not None:
            await loop.ask(StopDyno(one_off.id, why, SIGTERM))
            return
        await loop.ask(Restart(self._named(app, which), why))

    def explain(self, app: App, dyno: str) -> Sequence[str]:
        fleet = self._loops[app.id].fleet
        name = dyno_name(dyno)
        for each in fleet.shown():
            if each.name == name and each.id in self.plans:
                return self.plans[each.id].describe()
        raise Refused(
            Refusal.NOT_FOUND, f"cannot explain {dyno} of {app.name}: it is not running; see `dyno ps`"
        )

    # -- logs ----------------------------------------------------------------------------------------------------
    async def logs(self, query: LogQuery) -> AsyncIterator[LogLine]:
        if query.tail:
            async for line in self.log.tail(query):
                yield line
        else:
            for line in await self.log.recent(query):
                yield line


def activity_reason(payload: Payload) -> str:
    """Why dynos start and stop after this change, for the history."""
    match payload:
        case ReleaseCreated(version=version, description=description):
            return f"release v{version}: {description}"
        case _:
            return type(payload).__name__
