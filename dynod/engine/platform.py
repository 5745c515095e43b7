"""What the API can ask of the platform: the seam between dynod/api/ (words) and the engine (deeds).

`Platform` is a Protocol because two exist: the engine's (engine/requests.py) and the API tests' small one.
Reads answer from the folded ledger at once. Writes return when the change is on the disk. Both raise Refused.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from dynod.engine.domains import Domains
from dynod.model.app import Account, App, AppId
from dynod.model.autopsy import Autopsy, Cause
from dynod.model.dyno import DynoView
from dynod.model.formation import DynoSize, Formation, Scale
from dynod.model.log import LogLine, LogQuery
from dynod.model.release import Build, Release, Slug
from dynod.model.settings import Settings
from dynod.model.traffic import AppTraffic, Traffic


@dataclass(frozen=True, slots=True)
class RunAsk:
    """`POST /apps/{app}/dynos`: `type` names the dyno (`run` -> run.1234); `ttl` in seconds or None."""

    command: str
    attach: bool
    env: Mapping[str, str]
    force_no_tty: bool = False
    size: DynoSize | None = None
    type: str = "run"
    ttl: int | None = None


class Attached(Protocol):
    """The client's end of an attached one-off, of a command in a dyno, or of a connection to one's port.

    Closing it is a hang-up (SIGHUP).
    """

    dyno: DynoView

    def output(self) -> AsyncIterator[bytes]:
        """Yield what the dyno writes, until it has ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Send input; waits while the dyno does not read."""
        ...

    async def write_eof(self) -> None:
        """End of input: a pty gets the end-of-transmission character."""
        ...

    def resize(self, columns: int, lines: int) -> None:
        """The client's window has another size now; without a terminal that is nothing."""
        ...

    async def status(self) -> int:
        """Wait for the end and return the exit status."""
        ...

    def close(self) -> None:
        """Hang up."""
        ...

    def unclaimed(self) -> None:
        """Give up waiting for a client (R13)."""
        ...


@dataclass(frozen=True, slots=True)
class BuildAsk:
    """`source`: path of a tar or tar.gz on this machine, with the app at its root; it is the platform's to delete."""

    source: str
    commit: str
    description: str
    buildpacks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SlugAsk:
    """A slug made elsewhere: `path` of its tar.gz on this machine."""

    path: str
    process_types: Mapping[str, str]
    commit: str
    commit_description: str
    stack: str
    buildpack: str
    checksum: str = ""  # SHA256:... as claimed, or ''


@dataclass(frozen=True, slots=True)
class Quota:
    """An account's eco dyno hours of this month, in seconds: how many there are, and what each app has used."""

    seconds: float
    used: Mapping[AppId, float]


@dataclass(frozen=True, slots=True)
class Readings:
    """The whole machine's, for whoever draws curves. Apps by name, dynos by state, what happened to them by its name."""

    traffic: Mapping[str, Traffic]
    in_flight: Mapping[str, int]
    dynos: Mapping[str, int]
    happened: Mapping[str, int]
    lines: int  # that logplex took since it began
    lines_dropped: int  # of the platform's own, while logplex was away
    router_lines: int
    router_lines_dropped: int
    workers: int  # of the router, that are there


class Platform(Protocol):
    settings: Settings
    domains: Domains

    # -- time, in a lab ------------------------------------------------------------------------------------------
    async def advance(self, seconds: int, *, wall_only: bool) -> float:
        """Let time pass, or set the wall clock alone; return what time it is; raise Refused(FORBIDDEN) outside a lab."""
        ...

    # -- who -----------------------------------------------------------------------------------------------------
    def account(self, token: str) -> Account:
        """Whose token this is; raise Refused(UNAUTHORIZED)."""
        ...

    def owner(self) -> Account:
        """The machine's own account (who comes over RUN/control.sock as root or group dynod)."""
        ...

    def quota(self, account: Account) -> Quota:
        """How many eco dyno hours there are, and who used them."""
        ...

    # -- counts --------------------------------------------------------------------------------------------------
    async def traffic(self, app: App) -> AppTraffic:
        """What came of an app's requests, up to now."""
        ...

    async def readings(self) -> Readings:
        """All that is counted, up to now."""
        ...

    def stacks(self) -> Sequence[str]:
        """What this machine can build on, the default first."""
        ...

    # -- apps ----------------------------------------------------------------------------------------------------
    def apps(self) -> Sequence[App]: ...

    def app(self, ident: str) -> App:
        """Find by name or id; raise Refused(NOT_FOUND)."""
        ...

    async def create_app(self, actor: Account, name: str | None, stack: str | None) -> App:
        """Make v1 `Initial release` and v2 `Enable Logplex` too; None draws a name."""
        ...

    async def update_app(
        self, actor: Account, app: App, *, name: str | None, stack: str | None, maintenance: bool | None
    ) -> App:
        """Change what is not None: all of it, or nothing where anything is refused."""
        ...

    async def set_buildpacks(self, actor: Account, app: App, urls: Sequence[str]) -> App: ...

    async def set_feature(self, actor: Account, app: App, name: str, *, enabled: bool) -> None: ...

    def features(self, app: App) -> Mapping[str, bool]: ...

    async def destroy_app(self, actor: Account, app: App) -> App: ...

    # -- config and releases --------------------------------------------------------------------------------------
    def config(self, app: App) -> Mapping[str, str]: ...

    async def set_config(
        self, actor: Account, app: App, changes: Mapping[str, str | None]
    ) -> Mapping[str, str]:
        """Set and (None) remove vars: one release and a restart, none if nothing changed. Return the whole map."""
        ...

    def releases(self, app: App) -> Sequence[Release]:
        """All, by ascending version."""
        ...

    def release(self, app: App, ident: str) -> Release:
        """Find by id, `v3` or `3`; raise Refused(NOT_FOUND)."""
        ...

    def current_release(self, app: App) -> Release | None:
        """The newest that succeeded."""
        ...

    async def create_release(
        self, actor: Account, app: App, slug: Slug, description: str | None
    ) -> Release: ...

    async def rollback(self, actor: Account, app: App, release: Release) -> Release: ...

    def release_output(self, app: App, release: Release) -> AsyncIterator[bytes]:
        """The release command's output, from its start, live until it has ended."""
        ...

    # -- slugs and builds -----------------------------------------------------------------------------------------
    def slug(self, app: App, ident: str) -> Slug: ...

    def slug_blob(self, slug: Slug) -> str:
        """Path of the slug's tar.gz."""
        ...

    async def add_slug(self, actor: Account, app: App, ask: SlugAsk) -> Slug:
        """Check and unpack a slug that was made elsewhere."""
        ...

    def builds(self, app: App) -> Sequence[Build]: ...

    def build(self, app: App, ident: str) -> Build: ...

    async def start_build(self, actor: Account, app: App, ask: BuildAsk) -> Build:
        """Start to build; one build per app at a time (Refused(CONFLICT))."""
        ...

    def build_output(self, app: App, build: Build) -> AsyncIterator[bytes]:
        """The transcript (no `remote: `), from its start, live until release phase and all have ended."""
        ...

    async def clear_cache(self, actor: Account, app: App) -> None:
        """Forget what buildpacks kept for the next build."""
        ...

    # -- formation and dynos --------------------------------------------------------------------------------------
    def formation(self, app: App) -> Sequence[Formation]: ...

    async def scale(self, actor: Account, app: App, changes: Sequence[Scale]) -> Sequence[Formation]:
        """Return the rows that were named."""
        ...

    def dynos(self, app: App) -> Sequence[DynoView]: ...

    async def run(self, actor: Account, app: App, ask: RunAsk) -> tuple[DynoView, Attached | None]:
        """Start a one-off dyno."""
        ...

    async def exec(self, actor: Account, app: App, dyno: str, ask: RunAsk) -> Attached:
        """Run a command in a dyno that runs, beside what runs there, under its limits."""
        ...

    async def dial(self, app: App, dyno: str, port: int) -> Attached:
        """Connect to a TCP port of a dyno; its status is 0."""
        ...

    async def restart(self, actor: Account, app: App, which: str | None) -> None:
        """Restart all formation dynos, one type's (`web`), or one (`web.1`); one-offs only by name."""
        ...

    async def stop(self, actor: Account, app: App, which: str) -> None:
        """Stop a dyno by name or all of a type; formation dynos come back."""
        ...

    def explain(self, app: App, dyno: str) -> Sequence[str]:
        """What was mounted for a dyno, line by line (JailPlan.describe)."""
        ...

    async def why(self, app: App, dyno: str) -> Sequence[Cause]:
        """Why a dyno, by name or id, started and stopped, oldest first; () if nothing is known of it."""
        ...

    async def autopsies(self, app: App, dyno: str) -> Sequence[Autopsy]:
        """How dynos of this name, or this dyno, ended: those that are kept, the newest first."""
        ...

    # -- logs -----------------------------------------------------------------------------------------------------
    def logs(self, query: LogQuery) -> AsyncIterator[LogLine]:
        """History, then, if asked, live lines."""
        ...
