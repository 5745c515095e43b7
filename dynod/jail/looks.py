"""Looks at what dynos write to, every so often and at each one's end: the kernel tells nobody that a file system is full.

One timer for all, and none while no dyno with a ceiling runs; a look is one system call.
"""

from collections.abc import Callable, Mapping

from dynod.jail.disks import Disks
from dynod.jail.dyno import Dyno
from dynod.jail.loop import Loop


class Looks:
    """`tell(dyno)` is called once of each `fault` that a dyno's disk has (disks.py)."""

    def __init__(self, loop: Loop, disks: Disks, dynos: Mapping[str, Dyno], every: float) -> None:
        self._loop, self._disks, self._dynos, self._every = loop, disks, dynos, every
        self._timed = False
        self.tell: Callable[[Dyno], None]

    def later(self) -> None:
        """Look at all in a while, if that is not going to be done anyway."""
        if not self._timed:
            self._timed = True
            self._loop.after(self._every, self._at_all)

    def at(self, dyno: Dyno) -> None:
        fault = self._disks.fault(dyno.record)
        if fault and fault != dyno.fault:
            dyno.fault = fault
            self.tell(dyno)

    def _at_all(self) -> None:
        self._timed = False
        for dyno in self._dynos.values():
            if not dyno.ended and dyno.record.disk:
                self.at(dyno)
                self.later()
