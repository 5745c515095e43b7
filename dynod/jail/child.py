"""Processes that work for the dyno host: nursery, sweeper, keeper of slots. Each is a child of its own with one door, forked at the start.

One that dies is forked again at once; where the machine takes no process, or several have died as they began (of one job, say), that is tried
each second, and the host serves on without it.
`Child` is the process, `Jobs` what it was given and has not done yet, which the next one gets.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import prctl

from dynod.jail import packets
from dynod.jail.diary import say
from dynod.jail.enter import default_signals, only
from dynod.jail.loop import Loop
from dynod.jail.title import set_title

AGAIN = 1.0  # seconds until the next try to fork one
SHORT_LIVES = 3  # in a row, each shorter than that: the next one would die too

Run = Callable[[socket.socket], NoReturn]
Hear = Callable[[dict[str, Any], list[int]], None]


class Child:
    """`again()` is called for each further one that was forked, `missing(why)` each time that none could be."""

    def __init__(
        self,
        loop: Loop,
        name: str,
        run: Run,
        hear: Hear,
        again: Callable[[], None],
        missing: Callable[[str], None],
        keep: Sequence[int] = (),
    ) -> None:
        """`run(door)`: what it does, with no descriptor but its door, standard error and `keep`; `hear(said, fds)`: each packet of its."""
        self._loop, self._name, self._run, self._heard = loop, name, run, hear
        self._again, self._missing, self._keep = again, missing, keep
        self._door: socket.socket | None = None
        self._born, self._short_lives = 0.0, 0
        self._start()

    @property
    def there(self) -> bool:
        return self._door is not None

    def send(self, value: dict[str, Any], fds: Sequence[int] = ()) -> None:
        """Tell it something. To one that is not there, or dies of it, nothing was told: `again` comes for the next."""
        if self._door is not None:
            with contextlib.suppress(packets.Hung):
                packets.send(self._door, value, fds)

    def close(self) -> None:
        """Hang up and wait for its end."""
        if self._door is None:
            return
        self._loop.forget(self._door.fileno())
        self._door.close()
        self._door = None
        os.waitpid(self._pid, 0)

    def _start(self) -> None:
        ours, theirs = packets.pair()
        try:
            self._pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if self._pid == 0:
            self._live(theirs)
        theirs.close()
        self._born = time.monotonic()
        self._door = ours
        self._loop.read(ours.fileno(), self._hear)

    def _live(self, door: socket.socket) -> NoReturn:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            default_signals()
            only([door.fileno(), 2, *self._keep])
            set_title(f"dynod host: {self._name}")
            prctl.set_name(f"dynod-{self._name.split()[0]}")
            self._run(door)
        except packets.Hung:
            os._exit(0)  # the host let go of it, or died
        except Exception as error:  # noqa: BLE001  # a fork must not go on as a second host
            say(f"the {self._name} failed: {error!r}")
        finally:
            os._exit(1)

    def _start_again(self) -> None:
        try:
            self._start()
        except OSError as error:
            self._rest(f"cannot fork a {self._name}: {error.strerror}")
        else:
            self._again()

    def _rest(self, why: str) -> None:
        say(f"{why}; trying again in a second")
        self._loop.after(AGAIN, self._start_again)
        self._missing(why)

    def _hear(self) -> None:
        assert self._door is not None
        try:
            said, fds = packets.receive(self._door)
        except packets.Hung:
            self.close()
            self._short_lives = self._short_lives + 1 if time.monotonic() - self._born < AGAIN else 0
            if self._short_lives < SHORT_LIVES:
                self._start_again()
            else:
                self._rest(f"the {self._name} died as it began, {self._short_lives} times now")
        else:
            self._heard(said, fds)


@dataclass(frozen=True, slots=True)
class _Job:
    packet: dict[str, Any]
    fds: Sequence[int]
    done: Hear
    urgent: bool


class Jobs:
    """Jobs for a child, which answers each with a packet that has its number, `job`, and an `error`."""

    def __init__(self, loop: Loop, name: str, run: Run) -> None:
        self._loop = loop
        self._jobs: dict[int, _Job] = {}
        self._last = 0
        self._why = ""  # it is missing
        self._child = Child(loop, name, run, self._hear, self._give_again, self._missing)

    @property
    def busy(self) -> bool:
        return bool(self._jobs)

    def give(self, job: dict[str, Any], done: Hear, fds: Sequence[int] = ()) -> None:
        """Have a job done, whenever that may be; then done(answer, descriptors). `fds` stay open until then."""
        self._put(job, done, fds)

    def hand_over(self, job: dict[str, Any], done: Hear, fds: Sequence[int]) -> None:
        """The same, but the descriptors are the child's alone from now on: their last close takes its time."""
        number = self._put(job, done, fds)
        packets.close(fds)
        self._jobs[number] = _Job(self._jobs[number].packet, (), done, urgent=False)

    def ask(self, job: dict[str, Any], done: Hear) -> None:
        """The same for a job that somebody waits for: where no child can be forked to do it, that is the answer's `error`."""
        self._put(job, done, (), urgent=True)
        if not self._child.there:
            self._loop.after(0.0, self._refuse_urgent)

    def close(self) -> None:
        """Let the child go."""
        self._child.close()

    def _put(self, job: dict[str, Any], done: Hear, fds: Sequence[int], *, urgent: bool = False) -> int:
        self._last += 1
        packet = {**job, "job": self._last}
        self._jobs[self._last] = _Job(packet, fds, done, urgent)
        self._child.send(packet, fds)
        return self._last

    def _give_again(self) -> None:
        for job in self._jobs.values():
            self._child.send(job.packet, job.fds)

    def _missing(self, why: str) -> None:
        self._why = why
        self._refuse_urgent()

    def _refuse_urgent(self) -> None:
        if self._child.there:
            return  # by now
        for number in [number for number, job in self._jobs.items() if job.urgent]:
            self._jobs.pop(number).done({"error": self._why}, [])

    def _hear(self, said: dict[str, Any], fds: list[int]) -> None:
        self._jobs.pop(said["job"]).done(said, fds)


def apart(work: Callable[[], None]) -> None:
    """For a child: do a job in a process of its own, which may take its time; here, if the machine takes no process."""
    try:
        pid = os.fork()
    except OSError:
        work()
        return
    if pid == 0:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, 0)  # a boot goes first
            work()
        finally:
            os._exit(0)
