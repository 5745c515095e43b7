"""Requests that no dyno has yet: those of an app that boots or sleeps, and those that wait for a place, in their order (HEROKU.md 4.1).

Owns who waits, for how long and what it comes to; the choice of a dyno is balance.py's, everything before and after is proxy.py's.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from dynod.model.route import Limits, Standing
from router.balance import NO_LIMIT, Queue, quarantined, too_deep
from router.exchange import Exchange, Phase
from router.reasons import Failure

if TYPE_CHECKING:
    from router.server import Client


def _tried(exchange: Exchange) -> bool:
    """Whether it had a place already."""
    return exchange.retried or exchange.tries > 0


def _known(exchange: Exchange) -> bool:
    """Whether it was let in before."""
    return _tried(exchange) or exchange.give_up is not None


class Waiting:
    """`start` tries a request again, `wake` asks for a sleeping app; `limits` and `most` are the table's, `boot` how long one waits."""

    def __init__(
        self,
        boot: float,
        start: "Callable[[Client, Exchange, float], None]",
        wake: Callable[[str], None],
    ) -> None:
        self.held: dict[Client, None] = {}  # in the order they came
        self.limits = Limits()
        self.most = NO_LIMIT
        self._boot = boot
        self._start = start
        self._wake = wake
        self._woken: set[str] = set()

    # -- for a dyno to be up -------------------------------------------------------------------------------------

    def await_boot(self, client: "Client", exchange: Exchange, now: float, queue: Queue) -> Failure | None:
        """Let it wait for the app's first dyno. Say why it may not: as many wait as one dyno would have under way and queued."""
        if not _known(exchange) and too_deep(len(queue), 1, self.limits, 0):
            return Failure.H11
        self._stand(client, exchange, now, Failure.H20, queue)
        return None

    def _stand(
        self, client: "Client", exchange: Exchange, now: float, failure: Failure, queue: Queue
    ) -> None:
        self.hold(client, exchange, now, failure)
        exchange.queue = queue
        queue[client] = exchange

    def hold(self, client: "Client", exchange: Exchange, now: float, failure: Failure) -> None:
        """Keep it for a while; it comes to `failure` if that is not enough."""
        exchange.phase = Phase.HELD
        exchange.held_failure = failure
        exchange.target = None
        if exchange.give_up is None:
            exchange.give_up = now + self._boot
        client.deadline = exchange.give_up
        self.held[client] = None

    def wake(self, app: str) -> None:
        """Ask for an app that sleeps, once per table."""
        if app not in self._woken:
            self._woken.add(app)
            self._wake(app)

    def rewake(self) -> None:
        """Ask again for every app that is waited for: the control plane may have lost the question."""
        self._woken.clear()
        for client in self.held:
            if client.exchange is not None and client.exchange.site.route.standing is Standing.IDLE:
                self.wake(client.exchange.site.route.app)

    def let_go(self, client: "Client", exchange: Exchange) -> None:
        """Forget it: it goes on, or ends."""
        self.held.pop(client, None)
        if exchange.queue is not None:
            exchange.queue.pop(client, None)
            exchange.queue = None

    def swapped(self) -> "list[Client]":
        """Give all of them in their order, to be looked at anew under a new table."""
        self._woken.clear()
        return list(self.held)

    # -- for a place at one --------------------------------------------------------------------------------------

    def line_up(self, client: "Client", exchange: Exchange, now: float) -> Failure | None:
        """Let it wait: every dyno is full, or left alone for now. Say why it may not; who was let in once is not turned away."""
        targets = exchange.site.targets
        queue = targets[0].queue
        if not _known(exchange) and too_deep(len(queue), len(targets), self.limits, self.most):
            return Failure.H11
        failure = Failure.H34 if quarantined(targets, now) else Failure.H11
        self._stand(client, exchange, now, failure, queue)
        if _tried(exchange):
            queue.move_to_end(client, last=False)
        return None

    def admit(self, queue: Queue, now: float) -> None:
        """Give free places to those who wait."""
        if queue.admitting:
            return  # whoever does it goes on
        queue.admitting = True
        try:
            while queue:
                client, exchange = next(iter(queue.items()))
                if not any(target.has_room(now) for target in exchange.site.targets):
                    break
                self._start(client, exchange, now)
        finally:
            queue.admitting = False
