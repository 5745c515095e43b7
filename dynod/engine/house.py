"""The engine: joins the ledger, every app's loop, the machine, the router and the log.

What is decided stands in core/; what happens to one app happens in its loop (app_loop.py), and what follows from that is done in
perform.py; how a dyno is launched, built or attached to has a module each, and requests.py holds what the API can ask. Here is who
knows whom.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial

from dynod.core import activity, config_vars, disk, scaling, sleeping, why
from dynod.core.effects import SIGKILL, Effect
from dynod.core.events import Exited, MemoryVastlyExceeded
from dynod.core.fleet import Desired, Fleet, Habit, handover
from dynod.core.ledger import AppState, Ledger
from dynod.core.lifecycle import Dyno, Now
from dynod.engine import builds, clock, one_offs, phase, records
from dynod.engine.accounts import Accounts
from dynod.engine.acm import Acm
from dynod.engine.app_loop import Active, AppLoop, Happened, Reconcile, Rescaled, Wake
from dynod.engine.autopsies import Autopsies
from dynod.engine.books import Books
from dynod.engine.certs import Certs
from dynod.engine.chance import DRAW
from dynod.engine.domains import Domains
from dynod.engine.eco import Eco
from dynod.engine.machine import Machine
from dynod.engine.outputs import Outputs
from dynod.engine.perform import Deeds
from dynod.engine.routerlink import RouterLink
from dynod.engine.routes import Routes
from dynod.engine.tasks import Tasks
from dynod.engine.tidy import tidy
from dynod.engine.unwritten import Job, Unwritten
from dynod.engine.watch_memory import MemoryWatch
from dynod.host.jail_link import DiskFault
from dynod.host.jail_link import Ended as HostEnded
from dynod.host.log_link import LogLink
from dynod.host.slugs import Slugs
from dynod.model.app import Account, App, AppId
from dynod.model.dyno import DynoId, Exit
from dynod.model.entry import (
    NAMING,
    AppDestroyed,
    BuildStarted,
    DomainAdded,
    DomainRemoved,
    Entry,
    FeatureSet,
    FormationSet,
    Payload,
    ReleaseCreated,
)
from dynod.model.jail import JailPlan
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Build, BuildStatus, Release, ReleaseStatus
from dynod.model.settings import Settings
from dynod.removal import remove_tree
from dynod.store.observations import Observations

Rule = Callable[[AppState], Sequence[Payload]]
_log = logging.getLogger(__name__)


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
        self.unwritten = Unwritten(self.tasks)
        self.memory = MemoryWatch(lambda: clock.now().mono, self.say, self._vast, self._metrics)
        self.autopsies = Autopsies(settings.state, log.recent)
        self.plans: dict[DynoId, JailPlan] = {}
        self.waits: dict[DynoId, asyncio.Future[int]] = {}  # builds and orphans, told by the dyno host
        self.launching: set[DynoId] = set()  # the dyno host was asked for them
        self.incoming: set[str] = set()  # slugs on the disk that the ledger does not know yet
        self.sessions: dict[DynoId, one_offs.Asked] = {}
        self.joined: set[tuple[AppId, str]] = set()  # commands in dynos, and connections to them, by session
        self.coming: dict[DynoId, Dyno] = {}  # one-offs on their way into their app's fleet
        self.machine: Machine
        self._loops: dict[AppId, AppLoop] = {}
        self._encoders: dict[AppId, records.Encoder] = {}
        self.deeds = Deeds(self)
        self.router = RouterLink(settings, self._wake, self._active, self._write_later)
        self._routes = Routes(
            settings, lambda: self.ledger, lambda state: self._habit(state).spent, self.router.publish
        )
        self.eco = Eco(settings.eco_hours * 3600, clock.now, self._keep_eco, self._eco_changed)
        self._certs = Certs(settings.state, settings.domain, lambda: self.ledger, self.router.publish_certs)
        self._acm = Acm(settings, books, self._certs, self.router.certs_settled, self.owner, self.say)
        self.domains = Domains(
            settings.domain, lambda: self.ledger, books.commit, self._acm.status, self._acm.refresh
        )

    # -- life ----------------------------------------------------------------------------------------------------
    async def open(self, machine: Machine) -> None:
        """Recall every app's dynos, tell the routers, then meet the dyno host and adopt what runs."""
        self.machine = machine
        recorded = await self.observations.fleets()
        self.eco.recall(await self.observations.tally("eco"))
        for app in {*self.ledger.apps, *(AppId(key) for key in recorded)}:
            loop = self._add_loop(app, self._recalled(app, recorded.get(app)))
            self.eco.seen(app, loop.fleet)
        self._routes.due()
        self._certs.look()
        await self.router.open()
        machine.open()
        await machine.met.wait()
        await self._settle_interrupted()
        for app in self._loops.keys() - self.ledger.apps.keys():
            self.tasks.spawn(self.forget(app))
        self.tasks.spawn(tidy(self))
        self._acm.look()

    async def close(self) -> None:
        """Stop deciding. Dynos run on, requests flow on."""
        self.eco.close()
        await self._acm.close()
        await self.tasks.close()
        await self.memory.close()
        self._routes.close()
        await self.router.close()
        await self.machine.close()

    @property
    def ledger(self) -> Ledger:
        return self.books.ledger

    def _add_loop(self, app: AppId, fleet: Fleet) -> AppLoop:
        loop = AppLoop(app, self, fleet)
        self._loops[app] = loop
        self._routes.add(app, fleet)
        self.tasks.spawn(loop.run())
        return loop

    def loops(self) -> tuple[AppLoop, ...]:
        """Every app's loop, those of destroyed apps that still have dynos too."""
        return tuple(self._loops.values())

    def loop(self, app: AppId) -> AppLoop:
        """The loop of an app that exists."""
        return self._loops[app]

    async def _settle_interrupted(self) -> None:
        # A build or a release phase whose engine was killed has no one left who could end it well.
        for app, state in self.ledger.apps.items():
            for build in state.builds:
                if build.status is BuildStatus.PENDING:
                    await builds.fail(self, self.owner(), app, build.id)
            if (pending := state.pending) is not None:
                await phase.settle(self, app, pending.id, ReleaseStatus.FAILED)

    def on_exit(self, ended: HostEnded) -> None:
        """The dyno host says that one ended: its app's loop, or whoever waits for it, takes it from there."""
        dyno = DynoId(ended.id)
        if (waiting := self.waits.get(dyno)) is not None:
            if not waiting.done():
                waiting.set_result(ended.status)
            return
        if dyno in self.launching:
            self.deeds.early[dyno] = ended
            return
        for loop in self._loops.values():
            if dyno in loop.fleet.dynos:
                loop.post(Happened(dyno, Exited(Exit(ended.status), ended.oom, ended.peak, ended.tally)))
                return

    def on_disk(self, found: DiskFault) -> None:
        """The dyno host says that what a dyno writes to is full, or broken, which it does not survive."""
        for app, loop in self._loops.items():
            if (dyno := loop.fleet.dynos.get(DynoId(found.id))) is not None:
                for line in disk.lines(found.fault, found.disk):
                    self.say(app, str(dyno.name), line)
                if found.fault == disk.BROKEN:
                    self.tasks.spawn(self.machine.signal(dyno.id, SIGKILL))
                return

    # -- surroundings of the loops -------------------------------------------------------------------------------
    def now(self) -> Now:
        return clock.now()

    def desired(self, app: AppId) -> Desired:
        """What should run of an app: the formation of its deployed release, nothing for one that is no more."""
        state = self.ledger.apps.get(app)
        if state is None:
            return Desired(app, gone=True)
        if (release := state.deployed) is None:
            return Desired(app)
        return Desired(
            app,
            release.id,
            release.version,
            state.formation,
            release.config,
            handover(state.features),
            config_vars.boot_timeout(release.config, self.settings.boot_timeout),
            self.settings.stop_grace,
            self._habit(state),
        )

    def _habit(self, state: AppState) -> Habit:
        return sleeping.habit(state.formation, state.features, self.settings.idle_after, spent=self.eco.spent)

    async def keep(self, app: AppId, fleet: Fleet) -> None:
        """Write the fleet's record; it is there for the next daemon before anything is done about it."""
        if fleet.dynos or app in self.ledger.apps:
            encoder = self._encoders.setdefault(app, records.Encoder())
            job = partial(self.observations.put_fleet, app, encoder.encode(fleet))
        else:
            self._encoders.pop(app, None)
            job = partial(self.observations.delete_fleet, app)
        await self.unwritten.write(("fleet", app), job)
        self.eco.seen(app, fleet)

    async def recall(self, app: AppId) -> Fleet:
        """The fleet as it was kept; an unreadable record is an empty fleet, whose dynos the host then ends."""
        return self._recalled(app, (await self.observations.fleets()).get(app))

    def _recalled(self, app: AppId, data: bytes | None) -> Fleet:
        try:
            return Fleet() if data is None else sleeping.recalled(records.decode(data), self.now())
        except records.BadRecord as error:
            _log.error("app %s: %s; its dynos are started anew", app, error)
            return Fleet()

    def route_changed(self, app: AppId, fleet: Fleet) -> None:
        """Tell the routers, if there is something to tell; before the effects, so that no request meets a stopping dyno."""
        self._routes.changed(app, fleet)

    async def routed(self) -> None:
        """Wait until the routers go by what is known now."""
        await self._routes.done()
        await self.router.settled()

    def _write_later(self, file: str, job: Job) -> None:
        self.tasks.spawn(self.unwritten.write(file, job))

    def _wake(self, app: str) -> None:
        if (loop := self._loops.get(AppId(app))) is not None:
            loop.post(Wake("a request came"))

    def _active(self, apps: Sequence[str]) -> None:
        for app in apps:
            if (loop := self._loops.get(AppId(app))) is not None:
                loop.post(Active())

    def _keep_eco(self, record: bytes) -> None:
        self.tasks.spawn(self.unwritten.write("eco", partial(self.observations.put_tally, "eco", record)))

    def _eco_changed(self) -> None:
        for app, loop in self._loops.items():
            self.route_changed(app, loop.fleet)
            loop.post(Reconcile("the eco dyno hours of the month are used up, or there again"))

    def perform(self, app: AppId, fleet: Fleet, effect: Effect) -> None:
        """Carry out one effect of an app's step; completions come back to its loop as messages."""
        self.deeds.perform(app, fleet, effect)

    def say(self, app: AppId, process: str, text: str) -> None:
        """A platform line: source `heroku`."""
        self.log.write(app, "heroku", process, text)

    def _metrics(self, app: AppId) -> bool:
        state = self.ledger.apps.get(app)
        return state is not None and state.features.get("log-runtime-metrics", False)

    def _vast(self, app: AppId, dyno: DynoId, used: int) -> None:
        self._loops[app].post(Happened(dyno, MemoryVastlyExceeded(used)))

    async def forget(self, app: AppId) -> None:
        """Let go of an app that was destroyed, unless a dyno of it is left, or on its way in its loop; who finds none left first does it."""
        loop = self._loops.get(app)
        if app in self.ledger.apps or loop is None:
            return
        await loop.ask(Reconcile("the app was destroyed"))  # after which none comes any more
        if loop.fleet.dynos or self._loops.pop(app, None) is None:
            return
        loop.end()
        self._routes.forget(app)
        self._encoders.pop(app, None)
        await self.unwritten.write(("fleet", app), partial(self.observations.delete_fleet, app))
        with contextlib.suppress(ConnectionError, Refused):
            await self.log.forget(app)
        state = self.settings.state
        for path in (f"{state}/git/{app}.git", f"{state}/cache/{app}", self.autopsies.directory(app)):
            with contextlib.suppress(OSError):
                await asyncio.to_thread(remove_tree, path)

    def on_entry(self, entry: Entry, before: AppState | None, after: AppState | None) -> None:
        """What a new line of the ledger means for the log, the dynos and the routes."""
        for line in activity.lines(entry, before, after, f"https://{self.settings.api}"):
            self.log.write(entry.app, "app", "api", line)
        loop = self._loops.get(entry.app)
        if loop is None:
            loop = self._add_loop(entry.app, Fleet())
            self._routes.due()
        if isinstance(entry.payload, BuildStarted):
            return
        if isinstance(entry.payload, AppDestroyed | DomainAdded | DomainRemoved):
            self._routes.due()
        if isinstance(entry.payload, NAMING):
            self._certs.look()
            self._acm.look()
        if isinstance(entry.payload, FeatureSet):
            self.memory.refresh(entry.app)
        self.route_changed(entry.app, loop.fleet)
        reason = why.reason(entry, before, after)
        if isinstance(entry.payload, FormationSet):
            rows = () if before is None else before.formation
            loop.post(Rescaled(scaling.changed_types(rows, entry.payload.rows), reason))
        elif reason:  # a slug that comes with a release must not be taken for the cause
            loop.post(Reconcile(reason))
        if after is None:
            self._gone(entry.app, before)

    def _gone(self, app: AppId, last: AppState | None) -> None:
        """An app was destroyed: its builds end, its dynos too, and with the last of them all that was kept of it."""
        for build in () if last is None else last.builds:
            if build.status is BuildStatus.PENDING:
                self.tasks.spawn(self.machine.signal(DynoId(build.id), SIGKILL))
        self.tasks.spawn(self.forget(app))

    # -- the ledger's apps ---------------------------------------------------------------------------------------
    def owner(self) -> Account:
        return self.accounts.owner

    def state(self, app: App) -> AppState:
        """The newest state of an app; raise Refused if it is no more."""
        state = self.ledger.apps.get(app.id)
        if state is None:
            raise Refused(Refusal.NOT_FOUND, f"Couldn't find that app: {app.name} was destroyed.")
        return state

    async def change(self, actor: Account, app: App, rule: Rule) -> App:
        """Commit what a rule makes of an app's newest state; raise Refused if it is no more."""
        await self._commit(actor, app, rule)
        return self.state(app).app

    async def _commit(self, actor: Account, app: App, rule: Rule) -> tuple[Payload, ...]:
        return await self.books.commit(actor, app.id, lambda _: rule(self.state(app)))

    async def releasing(self, actor: Account, app: App, rule: Rule) -> Release | None:
        """Commit what makes a release, and run its release phase in the background if it has one; None if nothing changed."""
        made = await self._commit(actor, app, rule)
        release = next(
            (self.release(app, each.id) for each in made if isinstance(each, ReleaseCreated)), None
        )
        if release is None:
            return None
        if release.status is ReleaseStatus.PENDING:
            self.outputs.open(release.id)
            self.tasks.spawn(phase.run(self, actor, app, release))
        return release

    def release(self, app: App, ident: str) -> Release:
        for release in self.state(app).releases:
            if ident in {release.id, str(release.version), f"v{release.version}"}:
                return release
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that release.")

    def build(self, app: App, ident: str) -> Build:
        for build in self.state(app).builds:
            if build.id == ident:
                return build
        raise Refused(Refusal.NOT_FOUND, "Couldn't find that build.")
