"""What the disk would not take yet: kept in memory, and written as soon as there is room again.

For what happened (fleets, history, sums) and what is made anew at each start (the routers' table): a full disk must not stop
the dynos of a machine, whose engine would then not even see that they crash. What people decide never comes here: the ledger's entries
are on the disk before anything is done about them, or they are refused. A daemon that is killed meanwhile loses what waits;
its successor learns from the dyno host what lives.
"""

import logging
from collections.abc import Awaitable, Callable

from dynod.engine.tasks import Tasks, pause
from dynod.model.refused import Refused, disk_fault

Job = Callable[[], Awaitable[None]]
MOST = 20_000  # jobs that wait; beyond it the oldest go
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
_log = logging.getLogger(__name__)


def disk_refused(error: Exception) -> bool:
    """Whether the disk would not take it; anything else that is raised is a bug."""
    return isinstance(error, Refused) or bool(disk_fault(error))


class Unwritten:
    """`write` does a job now or later, each key's in order and the newest of a key alone."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._waiting: dict[object, Job] = {}
        self._trying = False

    @property
    def waiting(self) -> tuple[object, ...]:
        """The keys, those first that wait longest."""
        return tuple(self._waiting)

    async def write(self, key: object, job: Job) -> None:
        """Do the job; if the disk is full, come back all the same and do it once there is room."""
        if not self._waiting:
            try:
                await job()
            except Exception as error:
                if not disk_refused(error):
                    raise
                _log.error("%s; what happens is kept in memory until there is room", error)  # no bug
            else:
                return
        self._waiting.pop(key, None)  # the newest stands last
        self._waiting[key] = job
        while len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]
        if not self._trying:
            self._trying = True
            self._tasks.spawn(self._try_again())

    async def _try_again(self) -> None:
        seconds = FIRST_PAUSE
        while self._waiting:
            await pause(seconds)
            seconds = min(2 * seconds, LONGEST_PAUSE)
            await self._empty()
        self._trying = False
        _log.warning("there is room on the disk again; what happened meanwhile is written")

    async def _empty(self) -> None:
        while self._waiting:
            key = next(iter(self._waiting))
            job = self._waiting[key]
            try:
                await job()
            except Exception as error:  # noqa: BLE001  # one bug must not keep all that waits behind it from the disk
                if disk_refused(error):
                    return
                _log.exception("cannot write %s", key)  # a bug; what stands behind it is written all the same
            if self._waiting.get(key) is job:  # or a newer one came meanwhile
                del self._waiting[key]
