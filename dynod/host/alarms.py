"""Alarms of the kernel's: it tells when a dyno's memory crosses its quota or twice that, or when it had to kill for memory.

With version 1 these are thresholds on the usage counter and the oom event, told through one eventfd per dyno. To register a
threshold takes the kernel an RCU grace period (15 ms were seen), so that happens in threads of our own, and the second one is only
registered for a dyno that has crossed the first. Version 2 has no thresholds; what comes nearest is `memory.high`, at which it also
slows the dyno down, so it is a trap that is moved up out of the way as soon as it has sprung (`rest`), and back when the dyno has
shrunk. The files behind the alarms are the root user's: who may not write them gets False from `set` and looks at the dyno from
time to time instead.

A dyno that swings about its quota rings once a second at most (PAUSE). What a ring means is core/quota.py's to judge.
"""

import asyncio
import contextlib
import ctypes
import os
import struct
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from dynod.core.quota import vast
from dynod.host.meter import Meter, counter

PAUSE = 1.0
PAGE = os.sysconf("SC_PAGE_SIZE")  # what version 1 counts in
_THREADS = 4  # registrations that wait for the kernel at a time
_Event = tuple[str, int | str]  # a file to hear of, and at which value
_IN_MODIFY = 0x002
_HEAD = struct.Struct("iIII")


@dataclass(slots=True)
class _Alarm:
    meter: Meter
    quota: int
    handle: int  # version 1: the eventfd; version 2: the watch descriptor
    high: int = 0  # version 2: where the trap stands
    far: bool = False  # version 1: the threshold of R15 is registered too
    pause: asyncio.TimerHandle | None = None


class Alarms:
    """Make it inside a running loop; `on_ring(id)` is called in it."""

    def __init__(self, on_ring: Callable[[str], None]) -> None:
        self._on_ring = on_ring
        self._loop = asyncio.get_running_loop()
        self._alarms: dict[str, _Alarm] = {}
        self._inotify = -1
        self._of_watch: dict[int, str] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="alarms")

    async def set(self, id: str, meter: Meter, quota: int) -> bool:
        """Ring for this dyno from now on; False where the kernel or our rights do not allow it."""
        if meter.version == 1:
            return await self._set_v1(id, meter, quota)
        try:
            alarm = _Alarm(meter, quota, self._watch(meter.directory))
            self._alarms[id], self._of_watch[alarm.handle] = alarm, id
            _trap(alarm, quota)
        except OSError:
            self.clear(id)
            return False
        return True

    async def _set_v1(self, id: str, meter: Meter, quota: int) -> bool:
        handle = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        alarm = self._alarms[id] = _Alarm(meter, quota, handle)
        self._loop.add_reader(handle, self._rang, id)
        usage = counter(1, meter.directory)
        # It rings at a threshold, not above it, and once: who is at the quota when looked at would grow on unseen.
        events = ((usage, quota + PAGE), (f"{meter.directory}/memory.oom_control", ""))
        try:
            await asyncio.wrap_future(self._register(alarm, events))
        except OSError:
            if self._alarms.get(id) is alarm:
                self.clear(id)
            return False
        return True

    def _register(self, alarm: _Alarm, events: Sequence[_Event]) -> "Future[None]":
        """Let a thread tell the kernel; it has a descriptor of its own, so that ours may be closed meanwhile."""
        fd = os.dup(alarm.handle)
        done = self._pool.submit(_register, fd, alarm.meter.directory, events)
        done.add_done_callback(lambda _: os.close(fd))
        return done

    def rest(self, id: str, used: int) -> None:
        """After a look at a dyno that has `used` bytes: set what rings next."""
        alarm = self._alarms.get(id)
        if alarm is None:
            return
        if alarm.meter.version != 1:
            levels = (alarm.quota, vast(alarm.quota))
            with contextlib.suppress(OSError):  # the dyno has just ended
                _trap(alarm, next((level for level in levels if level > used), 0))
        elif used > alarm.quota and not alarm.far:
            alarm.far = True
            self._register(alarm, ((counter(1, alarm.meter.directory), vast(alarm.quota)),))

    def clear(self, id: str) -> None:
        """Forget a dyno, known or not."""
        alarm = self._alarms.pop(id, None)
        if alarm is None:
            return
        if alarm.pause is not None:
            alarm.pause.cancel()
        if alarm.meter.version == 1:
            self._loop.remove_reader(alarm.handle)
            os.close(alarm.handle)
        else:
            self._of_watch.pop(alarm.handle, None)
            _libc.inotify_rm_watch(self._inotify, alarm.handle)

    def close(self) -> None:
        for id in tuple(self._alarms):
            self.clear(id)
        self._pool.shutdown(wait=False, cancel_futures=True)
        if self._inotify >= 0:
            self._loop.remove_reader(self._inotify)
            os.close(self._inotify)
            self._inotify = -1

    def _rang(self, id: str) -> None:
        """Version 1: the eventfd keeps what happens in the pause."""
        alarm = self._alarms[id]
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(alarm.handle)
        self._loop.remove_reader(alarm.handle)
        alarm.pause = self._loop.call_later(PAUSE, self._loop.add_reader, alarm.handle, self._rang, id)
        self._on_ring(id)

    def _watch(self, directory: str) -> int:
        if self._inotify < 0:
            self._inotify = _check(_libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
            self._loop.add_reader(self._inotify, self._modified)
        path = os.fsencode(f"{directory}/memory.events")
        return _check(_libc.inotify_add_watch(self._inotify, path, _IN_MODIFY))

    def _modified(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._inotify, 65_536)
            at, rung = 0, set()
            while at < len(data):
                watch, _, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size + length
                rung.add(self._of_watch.get(watch, ""))
            for id in rung & self._alarms.keys():
                self._rang_v2(id)

    def _rang_v2(self, id: str) -> None:
        """Version 2: what happens in the pause is unheard, so its end is a ring too."""
        alarm = self._alarms[id]
        self._of_watch.pop(alarm.handle, None)
        _libc.inotify_rm_watch(self._inotify, alarm.handle)
        alarm.pause = self._loop.call_later(PAUSE, self._listen_again, id)
        self._on_ring(id)

    def _listen_again(self, id: str) -> None:
        alarm = self._alarms[id]
        with contextlib.suppress(OSError):  # the dyno has just ended
            alarm.handle = self._watch(alarm.meter.directory)
            self._of_watch[alarm.handle] = id
            self._on_ring(id)


def _register(fd: int, directory: str, events: Sequence[_Event]) -> None:
    for path, argument in events:
        watched = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with open(f"{directory}/cgroup.event_control", "w", encoding="ascii") as control:
                control.write(f"{fd} {watched} {argument}")
        finally:
            os.close(watched)


def _trap(alarm: _Alarm, level: int) -> None:
    """Write memory.high, 0 meaning none, unless it stands there already."""
    if alarm.high != (level or -1):
        with open(f"{alarm.meter.directory}/memory.high", "w", encoding="ascii") as file:
            file.write(str(level) if level else "max")
        alarm.high = level or -1


_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
