"""A platform in memory, as small as the API's tests allow: dicts for state, real child processes for attached one-offs."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace

from dynod.core.ledger import Ledger, fold
from dynod.engine.domains import Domains
from dynod.engine.platform import Quota, Readings, RunAsk
from dynod.model.app import Account, App, AppId, app_name
from dynod.model.autopsy import Autopsy, Cause
from dynod.model.dyno import DynoId, DynoName, DynoState, DynoView
from dynod.model.entry import AppCreated, AppDestroyed, Entry
from dynod.model.formation import Formation, Scale, process_type
from dynod.model.log import LogLine, LogQuery
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Settings
from dynod.model.traffic import AppTraffic, Traffic
from tests.api.fake_deploys import Deploys, House, new_id
from tests.api.fake_dyno import Child, boot

OWNER = Account("11111111-1111-4111-8111-111111111111", "owner@example.com")
STRANGER = Account("22222222-2222-4222-8222-222222222222", "stranger@example.com")
TOKENS = {"owner-token": OWNER, "stranger-token": STRANGER}
START = 1_700_000_000.0


class FakePlatform(Deploys):
    """Satisfies dynod.engine.platform.Platform."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.houses: dict[str, House] = {}
        self.lines: list[LogLine] = []
        self.said = asyncio.Condition()
        self.causes: list[Cause] = []
        self.requests: dict[str, Traffic] = {}  # by the app's name
        self.deaths: list[Autopsy] = []
        self.done: list[tuple] = []  # what was asked of us that leaves no other trace
        self.children: list[Child] = []
        self.moved: list[tuple[int, bool]] = []
        self.tails = 0
        self.pretend = False  # start no process for a one-off
        self.build_gate = asyncio.Event()
        self.build_gate.set()
        self.clock = START
        self.ledger = Ledger()  # of domains and certificates alone
        self.domains = Domains(settings.domain, lambda: self.ledger, self.commit)

    async def commit(self, actor: Account, app: AppId, rule) -> None:
        for payload in rule(self.ledger):
            revision = self.ledger.revision + 1
            self.ledger = fold(self.ledger, Entry(revision, app, actor.email, self.now(), payload))

    def now(self) -> float:
        self.clock += 1
        return self.clock

    async def close(self) -> None:
        for child in self.children:
            await child.gone()

    # -- time
    async def advance(self, seconds: int, *, wall_only: bool) -> float:
        self.moved.append((seconds, wall_only))
        return START + seconds

    # -- who
    def account(self, token: str) -> Account:
        if token not in TOKENS:
            raise Refused(Refusal.UNAUTHORIZED, "cannot let you in: the token is not known here")
        return TOKENS[token]

    def owner(self) -> Account:
        return OWNER

    def quota(self, account: Account) -> Quota:
        return Quota(3_600_000.0, {"app-b": 7200.9, "app-a": 60.0})

    async def traffic(self, app: App) -> AppTraffic:
        total = self.requests.get(app.name, Traffic())
        return AppTraffic(START, total, 330.5, total, 2)

    async def readings(self) -> Readings:
        return Readings(self.requests, {"demo": 2}, {"up": 3}, {"boot": 4, "crashed": 1}, 50, 6, 70, 8, 2)

    def stacks(self) -> Sequence[str]:
        return ("debian-12", "heroku-24")

    # -- apps
    def apps(self) -> Sequence[App]:
        return [house.app for house in self.houses.values()]

    def house(self, ident: str) -> House:
        for house in self.houses.values():
            if ident in {house.app.id, house.app.name}:
                return house
        raise Refused(Refusal.NOT_FOUND, f"cannot find the app {ident!r}")

    def app(self, ident: str) -> App:
        return self.house(ident).app

    async def create_app(self, actor: Account, name: str | None, stack: str | None) -> App:
        wanted = app_name(name if name is not None else f"quiet-river-{len(self.houses):05d}")
        if any(house.app.name == wanted for house in self.houses.values()):
            raise Refused(Refusal.INVALID, f"cannot create {wanted}: the name is taken")
        if stack is not None and stack not in self.stacks():
            raise Refused(Refusal.INVALID, f"cannot find the stack {stack}")
        now, stack = self.now(), stack or "debian-12"
        app = App(AppId(new_id()), wanted, actor, now, now, stack, stack)
        self.houses[app.id] = House(app)
        await self.commit(actor, app.id, lambda _: [AppCreated(wanted, actor, stack)])
        self._release(app, actor, "Initial release", None)
        self._release(app, actor, "Enable Logplex", None)
        return app

    def _change(self, app: App, **fields: object) -> App:
        house = self.house(app.id)
        house.app = replace(house.app, updated_at=self.now(), **fields)
        return house.app

    async def update_app(self, actor: Account, app: App, *, name, stack, maintenance) -> App:
        if stack not in (None, *self.stacks()):
            raise Refused(Refusal.INVALID, f"cannot find the stack {stack}")
        wanted = {
            "name": None if name is None else app_name(name),
            "build_stack": stack,
            "maintenance": maintenance,
        }
        return self._change(app, **{field: value for field, value in wanted.items() if value is not None})

    async def set_buildpacks(self, actor: Account, app: App, urls: Sequence[str]) -> App:
        return self._change(app, buildpacks=tuple(urls))

    async def set_feature(self, actor: Account, app: App, name: str, *, enabled: bool) -> None:
        self.house(app.id).features[name] = enabled

    def features(self, app: App) -> Mapping[str, bool]:
        return self.house(app.id).features

    async def destroy_app(self, actor: Account, app: App) -> App:
        await self.commit(actor or OWNER, app.id, lambda _: [AppDestroyed()])
        return self.houses.pop(app.id).app

    # -- formation and dynos
    def formation(self, app: App) -> Sequence[Formation]:
        return self.house(app.id).formation

    async def scale(self, actor: Account, app: App, changes: Sequence[Scale]) -> Sequence[Formation]:
        house = self.house(app.id)
        named = {change.type: change for change in changes}
        rows = []
        for row in house.formation:
            change = named.get(row.type)
            rows.append(row if change is None else _scaled(row, change))
        house.formation = rows
        self._boot(house)
        return [row for row in rows if row.type in named]

    def _boot(self, house: House) -> None:
        one_offs = [dyno for dyno in house.dynos if dyno.name.type == "run"]
        wanted = [
            self._view(house, row.type, number, row.command)
            for row in house.formation
            for number in range(1, row.quantity + 1)
        ]
        house.dynos = wanted + one_offs

    def _view(self, house: House, kind: str, number: int, command: str) -> DynoView:
        now, release = self.now(), house.releases[-1]
        return DynoView(
            DynoId(new_id()),
            DynoName(process_type(kind), number),
            DynoState.UP,
            "Standard-1X",
            command,
            release.version,
            release.id,
            now,
            now,
        )

    def dynos(self, app: App) -> Sequence[DynoView]:
        return self.house(app.id).dynos

    async def run(self, actor: Account, app: App, ask: RunAsk):
        house = self.house(app.id)
        number = 1000 + len(self.children) + len([one for one in self.done if one[0] == "run"])
        view = self._view(house, ask.type, number, ask.command)
        self.done.append(("run", ask))
        if self.pretend:
            return view, None
        if not ask.attach:
            process = await asyncio.create_subprocess_exec(
                "/bin/sh", "-c", ask.command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
            )
            output, _ = await process.communicate()
            for line in output.decode().splitlines():
                await self.say(app, line, process=str(view.name))
            return view, None
        house.dynos.append(view)
        child = await boot(view, ask)
        self.children.append(child)
        return view, child

    async def exec(self, actor: Account, app: App, dyno: str, ask: RunAsk):
        (view,) = [one for one in self.house(app.id).dynos if one.id == dyno]
        self.done.append(("exec", str(view.name), ask))
        child = await boot(view, ask)
        self.children.append(child)
        return child

    async def dial(self, app: App, dyno: str, port: int):
        """What listens on every port is cat."""
        (view,) = [one for one in self.house(app.id).dynos if one.id == dyno]
        self.done.append(("dial", str(view.name), port))
        child = await boot(view, RunAsk("cat", attach=True, env={}, force_no_tty=True))
        self.children.append(child)
        return child

    async def restart(self, actor: Account, app: App, which: str | None) -> None:
        self.done.append(("restart", app.name, which))
        self._boot(self.house(app.id))

    async def stop(self, actor: Account, app: App, which: str) -> None:
        self.done.append(("stop", app.name, which))

    def explain(self, app: App, dyno: str) -> Sequence[str]:
        return ["mount overlay on /app", f"name {dyno}"]

    async def why(self, app: App, dyno: str) -> Sequence[Cause]:
        return [each for each in self.causes if dyno in {each.name, each.dyno}]

    async def autopsies(self, app: App, dyno: str) -> Sequence[Autopsy]:
        return [each for each in self.deaths if dyno in {each.name, each.dyno}]

    # -- logs
    async def say(self, app: App, text: str, source: str = "app", process: str = "web.1") -> LogLine:
        line = LogLine(app.id, int(self.now() * 1_000_000) + 345_678, source, process, text)
        async with self.said:
            self.lines.append(line)
            self.said.notify_all()
        return line

    def _matches(self, line: LogLine, query: LogQuery) -> bool:
        kind = line.process.partition(".")[0]
        return (
            line.app == query.app
            and query.source in {"", line.source}
            and query.dyno in {"", line.process, kind}
        )

    async def logs(self, query: LogQuery) -> AsyncIterator[LogLine]:
        seen = len(self.lines)
        history = [line for line in self.lines if self._matches(line, query)]
        for line in history[len(history) - min(query.lines, len(history)) :]:
            yield line
        if not query.tail:
            return
        self.tails += 1
        try:
            while True:
                async with self.said:
                    await self.said.wait_for(lambda seen=seen: len(self.lines) > seen)
                    fresh, seen = self.lines[seen:], len(self.lines)
                for line in fresh:
                    if self._matches(line, query):
                        yield line
        finally:
            self.tails -= 1


def _scaled(row: Formation, change: Scale) -> Formation:
    quantity = row.quantity
    if change.quantity is not None:
        relative = change.quantity[0] in "+-"
        quantity = row.quantity + int(change.quantity) if relative else int(change.quantity)
    if not 0 <= quantity <= 100:
        raise Refused(Refusal.INVALID, f"cannot scale {row.type} to {quantity}")
    return replace(row, quantity=quantity, size=change.size or row.size)
