"""The machine under the engine: what a dyno takes (uid, network, jail) and gives back, over links that may break and come back.

The dyno host and the network helper may be killed and started again at any time. A call that needs one waits for it for a while
(PATIENCE), then is refused; on each new connection to the host the engine is told what lives there, so that it can adopt.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

from dynod.core.launch import Ground, Wiring
from dynod.engine.tasks import Tasks, pause
from dynod.host.jail_link import Booted, DiskFault, Ended, JailLink, Joined, Live, Stranger
from dynod.host.net_link import NetLink, Wired
from dynod.host.uids import Uids
from dynod.link import RemoteRefused
from dynod.model.jail import Bind, JailPlan, JoinPlan
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Settings, host_socket

PATIENCE = 30.0  # seconds a boot waits for the dyno host or the network helper to come back
TURNS = 16  # dynos on their way into a network and a jail; more would only wait there, and lose their patience in a crowd
_FIRST_RETRY, _LONGEST_RETRY = 0.02, 1.0
_log = logging.getLogger(__name__)


class _Kept:
    """The link to the dyno host, made again whenever it is lost; `get` waits for it."""

    def __init__(self) -> None:
        self.link: JailLink | None = None
        self.stranger = ""  # what the host said when it did not know our language
        self._there = asyncio.Event()

    def set(self, link: JailLink | None) -> None:
        self.link = link
        if link is None:
            self._there.clear()
        else:
            self._there.set()

    async def get(self) -> JailLink:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._there.wait()
        except TimeoutError:
            raise Refused(
                Refusal.UNAVAILABLE,
                self.stranger
                or "cannot reach the dyno host; see `dynod doctor`, it is started again by itself",
            ) from None
        assert self.link is not None
        return self.link


class Machine:
    """`on_exit` hears of every dyno that ended, `on_disk` of one whose disk is full or broken; `on_host` gets what lives each time the dyno host was (re)connected."""

    def __init__(
        self,
        settings: Settings,
        ground: Ground,
        stack: str,
        stack_env: Mapping[str, str],
        programs: tuple[Bind, ...],
        on_exit: Callable[[Ended], None],
        on_disk: Callable[[DiskFault], None],
        on_host: Callable[[Sequence[Live]], Awaitable[None]],
    ) -> None:
        self.settings = settings
        self.ground = ground
        self.stack = stack
        self.stack_env = stack_env
        self.programs = programs
        self.uids = Uids(settings.uid_first, settings.uid_count)
        self._on_exit, self._on_disk = on_exit, on_disk
        self._on_host = on_host
        self._jail = _Kept()
        self._net = NetLink(settings.run)
        self._uid_of: dict[str, int] = {}
        self._tasks = Tasks()
        self.turns = asyncio.Semaphore(TURNS)
        self.met = asyncio.Event()  # the dyno host was reached once and its dynos adopted

    def open(self) -> None:
        """Begin to keep the link to the dyno host; the network helper's is made when it is needed."""
        self._tasks.spawn(self._keep_jail())
        self._tasks.spawn(self._tell_routers())

    async def close(self) -> None:
        """Let go of both; dynos live on."""
        await self._tasks.close()
        await self._net.close()
        if (jail := self._jail.link) is not None:
            await jail.close()

    async def _keep_jail(self) -> None:
        retry = _FIRST_RETRY
        while True:
            try:
                link = await JailLink.connect(host_socket(self.settings.run), self._on_exit, self._on_disk)
            except OSError as error:
                stranger = str(error) if isinstance(error, Stranger) else ""
                if stranger and stranger != self._jail.stranger:
                    _log.error("%s", stranger)
                self._jail.stranger = stranger
                await pause(retry)
                retry = min(retry * 2, _LONGEST_RETRY)
                continue
            try:
                await self._meet(link)
            except (ConnectionError, Refused) as error:
                _log.warning("the dyno host went away: %s", error)
            except Exception:  # noqa: BLE001  # a bug must not leave the machine without its dyno host until somebody restarts dynod
                _log.exception("cannot take in what the dyno host holds")
            else:
                retry = _FIRST_RETRY
            finally:
                self._jail.set(None)
                await link.close()
            _log.warning("lost the dyno host, connecting again")
            await pause(retry)
            retry = min(retry * 2, _LONGEST_RETRY)

    async def _meet(self, link: JailLink) -> None:
        """Have adopted what lives there, then wait until the link is lost."""
        live = await link.list()
        for each in live:
            self._hold_uid(each)
        self._jail.set(link)
        await self._on_host(live)
        self.met.set()
        await link.lost.wait()

    async def _tell_routers(self) -> None:
        """Have the network helper let dynos reach the router; it may be on its way."""
        known = [each for each in (self.settings.router, self.settings.router_tls) if each is not None]
        retry = _FIRST_RETRY
        while True:
            try:
                await self._net.routers(known)
                return
            except RemoteRefused as refused:  # a router by a name, say
                _log.warning("apps cannot call each other by their addresses: %s", refused)
                return
            except (ConnectionError, Refused, RuntimeError):
                await pause(retry)
            retry = min(retry * 2, _LONGEST_RETRY)

    async def _wired(self, dyno: str) -> Wired:
        loop = asyncio.get_running_loop()
        give_up = loop.time() + PATIENCE
        retry = _FIRST_RETRY
        while True:
            try:
                return await self._net.take(dyno)
            except RemoteRefused:
                raise  # the helper's own word, such as that no address is free
            except Refused:
                if loop.time() > give_up:
                    raise
            await pause(retry)  # it is being started again
            retry = min(retry * 2, _LONGEST_RETRY)

    async def take(self, dyno: str) -> Wiring:
        """Take a uid and a network namespace for a dyno; raise Refused and hold nothing."""
        uid = self.uids.take()
        self._uid_of[dyno] = uid
        try:
            wired = await self._wired(dyno)
        except (ConnectionError, Refused, RuntimeError):
            self._free_uid(dyno)
            raise
        return Wiring(uid, wired.netns, wired.address, wired.address6)

    async def boot(self, plan: JailPlan) -> Booted:
        """Run a plan; raise Refused with the host's own words."""
        return await (await self._jail.get()).boot(plan)

    async def exec(self, plan: JoinPlan) -> Joined:
        """Run a command in a dyno that runs; raise Refused with the host's own words."""
        try:
            return await (await self._jail.get()).exec(plan)
        except (ConnectionError, RuntimeError) as error:
            raise Refused(Refusal.UNAVAILABLE, str(error)) from error

    async def hang_up(self, session: str) -> None:
        """End a session; one that is over is fine."""
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            await (await self._jail.get()).hang_up(session)

    async def signal(self, dyno: str, signal: int) -> None:
        """Signal every process of a dyno; one that is gone is fine."""
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            await (await self._jail.get()).signal(dyno, signal)

    async def freeze(self, dyno: str) -> None:
        """Let no process of a dyno run and take back what memory can be taken; raise with the host's words why not."""
        await (await self._jail.get()).freeze(dyno)

    async def thaw(self, dyno: str) -> None:
        """Let a dyno run on; one that runs or is gone is fine."""
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            await (await self._jail.get()).thaw(dyno)

    async def give_back(self, dyno: str, *, booted: bool = True) -> None:
        """Let the host forget a dyno that ended, then free its network and its uid, in this order, each whatever befell the others."""
        if booted:
            with contextlib.suppress(ConnectionError, Refused, RuntimeError):
                await (await self._jail.get()).forget(dyno)
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            await self._net.give(dyno)
        self._free_uid(dyno)

    async def sweep_networks(self, known: set[str]) -> None:
        """Give back the networks of dynos that nobody knows any more (their engine was killed in between)."""
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            for dyno in await self._net.list():
                if dyno not in known:
                    await self._net.give(dyno)

    def _hold_uid(self, live: Live) -> None:
        if self._uid_of.setdefault(live.id, live.uid) == live.uid:
            # Held since it was launched, or of a range that was set otherwise.
            with contextlib.suppress(ValueError):
                self.uids.hold(live.uid)

    def _free_uid(self, dyno: str) -> None:
        uid = self._uid_of.pop(dyno, None)
        if uid is not None:
            with contextlib.suppress(ValueError):
                self.uids.give(uid)

    async def leavings(self, dyno: str) -> int | None:
        """Open what a dyno wrote, which is there until it is given back; None if there is nothing to be seen."""
        with contextlib.suppress(ConnectionError, Refused, RuntimeError):
            return await (await self._jail.get()).leavings(dyno)
        return None
