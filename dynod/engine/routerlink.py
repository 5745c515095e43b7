"""Tables out to the routers: on disk first, then to every worker that is connected to RUN/routes.sock; wakes and activity come back."""

import asyncio
import contextlib
import logging
import os
import pwd
import time
from collections.abc import Callable, Mapping, Sequence

from dynod.engine.traffic import Counts
from dynod.engine.unwritten import Job, disk_refused
from dynod.host.durable import write_atomically
from dynod.link import Call, serve
from dynod.link.server import Connection, Notified
from dynod.model.certs import CertTable
from dynod.model.refused import Refusal, Refused
from dynod.model.route import RouteTable
from dynod.model.settings import ROUTER_USER, Settings, certs_file, routes_file, routes_socket
from dynod.model.spoken import ROUTES
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec
from dynod.wire.rpc import Notification, encode
from dynod.wire.traffic import BadTraffic

PATIENCE = 1.5  # seconds a stop waits for routers to take the newest table and end what is under way (router/timers.py: leave), and a sleep for their reports
# Seconds for all workers to connect again after a start; until then nobody knows who had requests.
GATHERING = 5.0
_log = logging.getLogger(__name__)


def _router() -> pwd.struct_passwd | None:
    """The user that routers run as under systemd; None where they are whoever we are."""
    try:
        return pwd.getpwnam(ROUTER_USER)
    except KeyError:
        return None


Late = Callable[[str, Job], None]
"""`late(file, job)`: do the job once the disk has room."""


def _never(file: str, job: Job) -> None:  # noqa: ARG001  # a Late
    _log.warning("cannot write %s: the disk is full; a router that starts now has an older one", file)


class RouterLink(Notified):
    """`publish` hands a table to all; a worker that connects gets the newest at once.

    `wake` hears of an app that sleeps and got a request, `active` of those that had some.
    """

    def __init__(
        self,
        settings: Settings,
        wake: Callable[[str], None],
        active: Callable[[Sequence[str]], None],
        late: Late = _never,
    ) -> None:
        self._settings = settings
        self._wake = wake
        self._active = active
        self._late = late
        self._file = routes_file(settings.state)
        self._encoder = table_codec.Encoder()
        self._table = RouteTable()
        # Who has the table and takes what is different in the next; older routers do not.
        self._takes: set[int] = set()
        self._bytes = b""
        self._certs = b""
        self._generation = 0
        self._certs_generation = 0
        self._applied: dict[int, int] = {}  # by connection
        self._applied_certs: dict[int, int] = {}
        self._settled = asyncio.Event()
        self._asked = 0
        self._reported: dict[int, int] = {}
        self._gathered = asyncio.Event()
        self._gathering: asyncio.TimerHandle | None = None
        self._measured: dict[int, int] = {}
        self.counts = Counts(time.time)
        self._connections: list[Connection] = []
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Listen; publish a table before, or the first workers get an empty one."""
        self._server = await serve(
            routes_socket(self._settings.run), self._call, notified=self, language=ROUTES
        )
        self._gathering = asyncio.get_running_loop().call_later(GATHERING, self._gathered.set)

    def publish(self, table: RouteTable) -> None:
        """Write the table down and pass it on, without waiting for anybody; a full disk holds no router up."""
        self.counts.keep(table.apps.keys())
        before, self._table = self._table, table
        self._bytes = self._encoder.encode(table)
        self._generation = table.generation
        self._keep(self._file, self._write_table)
        change = b""
        for connection in self._connections:
            if id(connection) not in self._takes:
                self._send(connection)
                continue
            change = change or encode(Notification("change", table_codec.change(before, table)))
            connection.writer.write(change)

    def publish_certs(self, table: CertTable) -> None:
        """Write the certificates down for the router's eyes only, and pass them on."""
        self._certs = certs_codec.encode(table)
        self._certs_generation = table.generation
        self._keep(certs_file(self._settings.state), self._write_certs)
        for connection in self._connections:
            self._send_certs(connection)

    def _write_table(self) -> None:
        os.makedirs(os.path.dirname(self._file), exist_ok=True)
        write_atomically(self._file, self._bytes)

    def _write_certs(self) -> None:
        path = certs_file(self._settings.state)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_atomically(path, self._certs, 0o600, _router())

    def _keep(self, path: str, write: Callable[[], None]) -> None:
        async def again() -> None:
            write()

        try:
            write()
        except OSError as error:
            if not disk_refused(error):
                raise
            self._late(path, again)

    async def settled(self) -> None:
        """Wait until every router worker that is there serves by the newest table; PATIENCE at most, a stuck one waits for nobody."""
        await self._all_have(self._applied, self._generation)

    async def certs_settled(self) -> None:
        """Wait, likewise, for the newest certificates and challenges."""
        await self._all_have(self._applied_certs, self._certs_generation)

    async def report(self) -> None:
        """Have every worker say which apps had requests; `active` has heard of them when this returns. PATIENCE at most."""
        await self._gathered.wait()
        self._asked = number = self._asked + 1
        for connection in self._connections:
            connection.writer.write(encode(Notification("report", [number])))
        await self._all_have(self._reported, number)

    @property
    def workers(self) -> int:
        """How many workers are there."""
        return len(self._connections)

    async def measure(self) -> None:
        """Have every worker say what requests came to; `counts` has all of it when this returns. PATIENCE at most."""
        self._asked = number = self._asked + 1
        for connection in self._connections:
            connection.writer.write(encode(Notification("measure", [number])))
        await self._all_have(self._measured, number)

    def _counted(self, connection: Connection, message: object) -> None:
        try:
            answers = self.counts.took(id(connection), message)
        except (BadTraffic, ValueError, TypeError) as error:
            _log.warning("cannot count what a router tells: %s", error)
            return
        if answers:
            self._measured[id(connection)] = max(answers)
            self._changed()

    async def _all_have(self, applied: Mapping[int, int], wanted: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while any(applied[id(each)] < wanted for each in self._connections):
                    await self._settled.wait()

    def _changed(self) -> None:
        self._settled.set()
        self._settled = asyncio.Event()

    def _send(self, connection: Connection) -> None:
        connection.writer.write(encode(Notification("table", self._bytes)))

    def _send_certs(self, connection: Connection) -> None:
        if self._certs:
            connection.writer.write(encode(Notification("certs", self._certs)))

    def opened(self, connection: Connection) -> None:
        """Take a router in; others of the group may connect too, and get neither keys nor a say."""
        router = _router()
        if connection.uid not in {0, os.geteuid(), router and router.pw_uid}:
            _log.warning("pid %d of user %d is no router: hung up on", connection.pid, connection.uid)
            connection.writer.transport.abort()
            return
        self._connections.append(connection)
        self._applied[id(connection)] = self._applied_certs[id(connection)] = 0
        self._reported[id(connection)] = self._asked  # who connects says what it knows unasked
        self._measured[id(connection)] = self._asked
        if len(self._connections) >= self._settings.router_workers:
            self._gathered.set()
        self._send_certs(connection)
        self._send(connection)

    def refused(self, connection: Connection) -> None:
        """Tell it why: it goes on with the table it has, and nobody waits for it."""
        if connection not in self._connections:
            return
        connection.writer.write(encode(Notification("refused", connection.stranger)))
        self._forget(connection)

    def closed(self, connection: Connection) -> None:
        if connection in self._connections:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        self._connections.remove(connection)
        for each in (self._applied, self._applied_certs, self._reported, self._measured):
            del each[id(connection)]
        self.counts.gone(id(connection))
        self._takes.discard(id(connection))
        self._changed()

    def took(self, connection: Connection, notification: Notification) -> None:
        if connection not in self._connections:
            return
        match notification:
            case Notification("wake", str(app) | [str(app)]):
                self._wake(app)
            case Notification("applied", [int(generation)]):
                self._applied[id(connection)] = generation
                self._changed()
            case Notification("active", [*apps]):
                self._active([str(app) for app in apps])
            case Notification("reported", [int(number)]):
                self._reported[id(connection)] = number
                self._changed()
            case Notification("takes", [*ways]) if "change" in ways and self._bytes:
                self._takes.add(id(connection))
            case Notification("traffic", message):
                self._counted(connection, message)
            case Notification("applied_certs", [int(generation)]):
                self._applied_certs[id(connection)] = generation
                self._changed()
            case _:
                _log.info("a router said %s, which means nothing here", notification.method)

    async def _call(self, call: Call) -> None:
        raise Refused(Refusal.NOT_FOUND, f"cannot answer {call.method}: routers are told, they do not ask")

    async def close(self) -> None:
        """Stop listening; routers go on with the table they have."""
        if self._gathering is not None:
            self._gathering.cancel()
        if self._server is not None:
            self._server.close()
