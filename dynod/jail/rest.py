"""Rest after a failure: what cannot be made now is written down once and tried again after a while, however many ask for it meanwhile."""

from collections.abc import Callable

from dynod.jail.diary import say
from dynod.jail.loop import Loop

BACK_OFF = 1.0  # seconds


class Rest:
    """`again()` is called once, BACK_OFF seconds after the first failure."""

    def __init__(self, loop: Loop, again: Callable[[], None]) -> None:
        self._loop, self._again = loop, again
        self._why: str | None = None  # until the next try nobody needs to read it again

    def because(self, why: str) -> None:
        if why != self._why:
            say(why)
        if self._why is None:
            self._loop.after(BACK_OFF, self._over)
        self._why = why

    def _over(self) -> None:
        self._why = None
        self._again()
