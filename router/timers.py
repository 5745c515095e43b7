"""Every span of time the router keeps, as one value (HEROKU.md 4.1). Tests pass shorter ones."""

from dataclasses import dataclass, replace

from dynod.model.route import Limits


@dataclass(frozen=True, slots=True)
class Timers:
    """Seconds. Deadlines are fields of what they end; one timer per worker looks at them every `tick`."""

    tick: float = 0.25
    connect: float = 5.0
    quarantine: float = 5.0
    first_byte: float = 30.0  # H12
    idle: float = 55.0  # H15, H28: any byte of either direction starts it anew
    boot: float = 75.0  # H20; also how long a request waits for a backend to leave quarantine
    keep_alive: float = 90.0  # a client between two requests
    head: float = 30.0  # a client within the head of a request
    dyno_idle: float = 55.0  # a connection to a dyno between two requests
    # A request that cannot be sent twice goes only on a connection idle for less than this.
    fresh: float = 1.0
    linger: float = 5.0  # reading on after an early answer, so that a reset does not destroy it
    drain: float = 30.0  # SIGTERM to the end of the last request
    welcome: float = 3.0  # a client that came just before SIGTERM, until the first byte of its request
    # From a dyno leaving the table to its SIGTERM, at most, while requests are under way there.
    leave: float = 1.0
    leave_all: float = 3600.0  # from another router's taking over to the end of the last WebSocket here
    goodbye: float = 0.5  # for the last access lines on the way out
    active: float = 30.0  # from the first request until the control plane hears which apps had some
    counts: float = 10.0  # from a request to the telling of what it came to: a worker that is killed takes these counts with it
    flush: float = 0.05  # access lines wait this long for company
    retry: float = 0.1  # first pause before a lost unix socket is tried again; doubles up to retry_most
    retry_most: float = 2.0

    def limited(self, limits: Limits) -> "Timers":
        """Take over what the table says."""
        said = {"head": limits.head, "idle": limits.idle, "keep_alive": limits.keep_alive}
        return replace(self, **{name: span for name, span in said.items() if span is not None})
